// The view of one clip: developing while it is made, playing once it is. It reads the job, and changes nothing by itself.

import * as api from "./api.js";
import { makeActions, remove, useAgain } from "./actions.js";
import { $, asSentence, h, nameOf, on, sayBytes, sayDate, sayTime, textButton } from "./dom.js";
import { findJob, onJobs, refresh } from "./live.js";
import { makePlayer } from "./player.js";
import { cancelJob, isEnded, sayState, showAt } from "./queue.js";
import { listPairs, showReport } from "./report.js";
import { attempt } from "./say.js";

let shown = null; // the id in view
let drawn = ""; // its id and state, as drawn
let player = null;

export function mountClip() {
  onJobs((event) => shown !== null && (event === null || event.video === shown) && look());
  on(document, "clip-deleted", (event) => {
    if (event.detail === shown) location.hash = "#/gallery";
  });
}

export function openClip(id) {
  if (id !== shown) clear();
  shown = id;
  if (id !== null) look();
}

function clear() {
  player?.stop();
  player = null;
  drawn = "";
  $("clip").replaceChildren();
}

// Show the clip as it is now; one that is not among the latest is asked for once.
async function look() {
  const id = shown;
  const job = findJob(id);
  if (job !== null) return show(job);
  if (drawn.startsWith(id)) return undefined;
  try {
    const video = await api.video(id);
    if (id === shown) show(video);
  } catch (fault) {
    if (id === shown && fault.status === 404) showMissing();
  }
  return undefined;
}

function showMissing() {
  clear();
  drawn = shown;
  const words = h("p", { text: "It was deleted, or is older than what this server keeps." });
  $("clip").append(h("div", { class: "empty big" }, h("h1", { id: "clip-title", tabindex: "-1", text: "There is no such clip" }), words, h("a", { class: "button primary", href: "#/gallery", text: "To the gallery" })));
}

function show(video) {
  const state = `${video.id} ${video.state}`;
  if (state !== drawn) {
    const hadFocus = $("clip").contains(document.activeElement);
    clear();
    drawn = state;
    if (video.state === "completed") drawCompleted(video);
    else drawUnfinished(video);
    if (hadFocus) $("clip-title").focus({ preventScroll: true });
  }
  if (video.state !== "completed") mark(video);
}

const makeTitle = (video) => h("h1", { id: "clip-title", tabindex: "-1", text: nameOf(video) });
const showSettings = (video) => h("details", {}, h("summary", { text: "Settings" }), listPairs(Object.entries(video.settled ?? video.knobs)));

function drawUnfinished(video) {
  const image = h("img", { alt: isEnded(video) ? "The picture" : "The clip as far as it is", src: api.pictureAt(video.picture) });
  on(image, "load", () => image.parentElement.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight));
  const tryAgain = async () => {
    await attempt(() => api.retry(video.id));
    await refresh();
  };
  const buttons = isEnded(video)
    ? [textButton("again", "Try again", tryAgain, "primary"), textButton("again", "Use these settings again", () => useAgain(video)), textButton("bin", "Delete", () => remove(video), "quiet bad")]
    : [textButton("close", "Cancel", () => cancelJob(video.id))];
  const note = isEnded(video) ? "" : "It goes on without this page: close it whenever you like, and come back.";
  const side = h("div", { class: "clip-side" }, makeTitle(video), h("p", { class: "moves" }), h("progress", { max: 100, "aria-label": "Progress" }), h("p", { class: "fine", text: note }), h("div", { class: "actions" }, buttons), showSettings(video));
  $("clip").append(h("div", { class: `clip-stage ${video.state}` }, h("div", { class: "print" }, image)), side);
}

function mark(video) {
  const find = (what) => $("clip").querySelector(what);
  find(".moves").textContent = video.state === "running" ? sayState(video).replace(/^./, (first) => first.toUpperCase()) : asSentence(sayState(video));
  const bar = find("progress");
  bar.hidden = isEnded(video);
  if (video.state === "running") bar.value = video.progress;
  else bar.removeAttribute("value");
  if (video.state === "running" && video.preview) showAt(find(".print img"), api.previewOf(video));
}

function drawCompleted(video) {
  const report = h("section", { class: "report", "aria-labelledby": "report-title" }, h("h2", { id: "report-title", text: "Report" }));
  let markFrame = () => {};
  player = makePlayer(video, (frame, count) => markFrame(frame, count));
  const { seek } = player;
  const facts = [video.size.replace("x", " × "), `${video.frames} frames`, sayTime(Number(video.seconds)), `${video.suffix} ${sayBytes(video.bytes ?? 0)}`, video.model, `seed ${video.seed}`, sayDate(video.created_at)];
  const side = h("div", { class: "clip-side" }, makeTitle(video), h("p", { class: "moves", text: asSentence(video.moves) }), h("p", { class: "fine", text: facts.join(" · ") }), ...makeActions(video), report, showSettings(video));
  const key = (name) => h("kbd", { text: name });
  const help = h("p", { class: "fine keys" }, key("space"), " plays · ", key(","), " ", key("."), " step · ", key("c"), " compares · ", key("f"), " fills the screen");
  $("clip").append(h("div", { class: "clip-stage" }, player.element, help), side);
  api.report(video.id).then(
    (told) => (markFrame = showReport(report, told, seek)),
    (fault) => report.append(h("p", { class: "fine", text: fault.message })),
  );
}
