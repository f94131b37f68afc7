// The view of one clip: developing while it is made, playing once it is. It reads the job, and changes nothing by itself.

import * as api from "./api.js";
import { makeActions, remove, useAgain } from "./actions.js";
import { $, asSentence, h, icon, nameOf, sayBytes, sayDate, sayTime } from "./dom.js";
import { findJob, onJobs, refresh } from "./live.js";
import { makePlayer } from "./player.js";
import { cancelJob, sayState, showAt } from "./queue.js";
import { showReport } from "./report.js";
import { attempt } from "./say.js";

let shown = null; // the id in view
let drawn = ""; // its id and state, as drawn
let player = null;

/** Follow the clip in view. */
export function mountClip() {
  onJobs((event) => {
    if (shown === null || (event !== null && event.video !== shown)) return;
    const job = findJob(shown);
    if (job !== null) show(job);
    else if (event === null) read();
  });
  document.addEventListener("clip-deleted", (event) => {
    if (event.detail === shown) location.hash = "#/gallery";
  });
}

/** Show a clip, or with null none. */
export async function openClip(id) {
  if (id !== shown) leave();
  shown = id;
  if (id === null) return;
  const job = findJob(id);
  if (job !== null) show(job);
  else await read();
}

function leave() {
  player?.stop();
  player = null;
  drawn = "";
  $("clip").replaceChildren();
}

async function read() {
  const id = shown;
  try {
    const video = await api.video(id);
    if (id === shown) show(video);
  } catch (fault) {
    if (id === shown && fault.status === 404) showMissing();
  }
}

function showMissing() {
  leave();
  const back = h("a", { class: "button primary", href: "#/gallery", text: "To the gallery" });
  $("clip").append(h("div", { class: "empty big" }, h("h1", { id: "clip-title", tabindex: "-1", text: "There is no such clip" }), h("p", { text: "It was deleted, or kept for as long as this server keeps clips." }), back));
}

function show(video) {
  const state = `${video.id} ${video.state}`;
  if (state !== drawn) {
    const hadFocus = $("clip").contains(document.activeElement);
    leave();
    drawn = state;
    if (video.state === "completed") drawCompleted(video);
    else drawUnfinished(video);
    if (hadFocus) $("clip-title").focus({ preventScroll: true });
  }
  if (video.state !== "completed") mark(video);
}

const makeTitle = (video) => h("h1", { id: "clip-title", tabindex: "-1", text: nameOf(video) });

function drawUnfinished(video) {
  const hasEnded = video.state === "failed" || video.state === "cancelled";
  const image = h("img", { class: "developing", alt: hasEnded ? "The picture" : "The clip as far as it is", src: api.pictureAt(video.picture) });
  image.addEventListener("load", () => image.parentElement.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight));
  const bar = h("progress", { max: 100, "aria-label": "Progress" });
  const words = h("p", { class: "moves developing-state" });
  const buttons = hasEnded
    ? [makeButton("again", "Try again", () => retry(video), "primary"), makeButton("reset", "Use these settings again", () => useAgain(video)), makeButton("bin", "Delete", () => remove(video), "bad")]
    : [makeButton("close", "Cancel", () => cancelJob(video.id))];
  const side = h("div", { class: "clip-side" }, makeTitle(video), words, bar, h("p", { class: "fine developing-note" }), h("div", { class: "actions" }, buttons), showSettings(video));
  $("clip").append(h("div", { class: `clip-stage ${video.state}` }, h("div", { class: "print" }, image)), side);
}

const makeButton = (name, text, onclick, more = "quiet") => h("button", { type: "button", class: more, onclick }, icon(name), h("span", { text }));

async function retry(video) {
  await attempt(() => api.retry(video.id));
  await refresh();
}

function mark(video) {
  const place = $("clip");
  const hasEnded = video.state === "failed" || video.state === "cancelled";
  const words = video.state === "cancelled" ? "It was cancelled." : sayState(video);
  place.querySelector(".developing-state").textContent = words[0].toUpperCase() + words.slice(1);
  const bar = place.querySelector("progress");
  bar.hidden = hasEnded;
  if (video.state === "running") bar.value = video.progress;
  else bar.removeAttribute("value");
  place.querySelector(".developing-note").textContent = hasEnded ? "" : "It goes on without this page: close it whenever you like, and come back.";
  if (video.state === "running" && video.preview) showAt(place.querySelector(".developing"), api.previewOf(video));
}

function drawCompleted(video) {
  const report = h("section", { class: "report", "aria-label": "Report" });
  let markFrame = () => {};
  player = makePlayer(video, (frame, count) => markFrame(frame, count));
  const seek = player.seek;
  const facts = [video.size.replace("x", " × "), `${video.frames} frames`, sayTime(Number(video.seconds)), `${video.suffix} ${sayBytes(video.bytes ?? 0)}`, video.settled?.model ?? video.model, `seed ${video.seed}`, sayDate(video.created_at)];
  const side = h("div", { class: "clip-side" }, makeTitle(video), h("p", { class: "moves", text: asSentence(video.moves) }), h("p", { class: "facts", text: facts.filter(Boolean).join(" · ") }), ...makeActions(video), report, showSettings(video));
  const help = h("p", { class: "fine keys" }, h("kbd", { text: "space" }), " plays · ", h("kbd", { text: "," }), " ", h("kbd", { text: "." }), " step · ", h("kbd", { text: "c" }), " compares · ", h("kbd", { text: "f" }), " fills the screen");
  $("clip").append(h("div", { class: "clip-stage" }, player.element, help), side);
  api.report(video.id).then(
    (told) => (markFrame = showReport(report, told.report ?? told, seek)),
    (fault) => report.append(h("p", { class: "fine", text: fault.message })),
  );
}

function showSettings(video) {
  const knobs = Object.entries(video.settled ?? video.knobs).filter(([, value]) => value !== null);
  const rows = knobs.flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: String(value) })]);
  return h("details", {}, h("summary", { text: "Settings" }), h("dl", {}, rows));
}
