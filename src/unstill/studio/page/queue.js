// What runs and what waits, in order; it can be put into another, cancelled, tried again.

import * as api from "./api.js";
import { $, h, icon, iconButton, nameOf, on, plural, showList, textButton } from "./dom.js";
import { findJob, jobs, onJobs, refresh } from "./live.js";
import { attempt, tellProgress } from "./say.js";

const STAGES = { prepare: "reading the picture", load: "loading the model", sample: "finding the motion", decode: "drawing the frames", check: "measuring what came out", write: "writing the file" };
const HAPPENED = { running: "is being made", completed: "is finished", failed: "failed", cancelled: "is cancelled" };
const LATELY = 12;
let dragged = null; // what is being moved; the list stands still meanwhile

export function sayState(video) {
  if (video.state === "running") return video.cancelling ? "stops after this step" : `${STAGES[video.stage] ?? "begins"} · ${video.progress} %`;
  if (video.state === "queued") return video.place === 1 ? "is next" : `waits${video.place ? `, number ${video.place}` : ""}`;
  return video.state === "failed" ? (video.error?.message ?? "failed") : video.state;
}

export const isEnded = (video) => video.state === "failed" || video.state === "cancelled";
const waiting = () => jobs.queue.filter((video) => video.state === "queued");

export function mountQueue() {
  onJobs((event) => {
    showQueue();
    showNow();
    if (event) speak(event);
  });
}

function showQueue() {
  if (dragged) return;
  const ended = jobs.lately.filter(isEnded).slice(0, LATELY);
  const done = jobs.lately.filter((video) => video.state === "completed").slice(0, LATELY);
  $("queue-empty").hidden = !jobs.isKnown || jobs.queue.length + ended.length > 0;
  showList($("queue-list"), jobs.queue, makeWaiting, markWaiting);
  showList($("ended-list"), ended, makeEnded, markJob);
  $("lately").hidden = done.length === 0;
  showList($("lately-list"), done, makeLately);
}

function makeJob(video, ...actions) {
  const name = nameOf(video);
  const image = h("img", { alt: "", src: api.pictureAt(video.picture, "thumbnail") });
  const text = h("div", { class: "job-text" }, h("a", { href: `#/clip/${video.id}`, class: "job-name", text: name }), h("span", { class: "fine job-state" }), h("progress", { max: 100, "aria-label": `Progress of ${name}` }));
  return h("li", { class: "job" }, image, text, h("div", { class: "job-actions" }, actions));
}

function makeWaiting(video) {
  const name = nameOf(video);
  const earlier = iconButton("up", `${name}: earlier`, () => shift(video.id, -1), { "data-does": "earlier" });
  const later = iconButton("down", `${name}: later`, () => shift(video.id, 1), { "data-does": "later" });
  const cancel = iconButton("close", `Cancel ${name}`, () => cancelJob(video.id), { "data-does": "cancel" });
  const item = makeJob(video, earlier, later, cancel);
  item.prepend(h("span", { class: "grip", "aria-hidden": "true", onpointerdown: (event) => drag(event, item) }, icon("grip")));
  return item;
}

function makeEnded(video) {
  const again = textButton("again", "Try again", () => act(() => api.retry(video.id)), "quiet", { "aria-label": `Try again: ${nameOf(video)}` });
  const item = makeJob(video, again, iconButton("bin", `Delete ${nameOf(video)}`, () => act(() => api.remove(video.id))));
  item.classList.add("ended");
  return item;
}

function makeLately(video) {
  return h("li", {}, h("a", { href: `#/clip/${video.id}` }, h("img", { src: api.thumbnailOf(video), alt: `Open ${nameOf(video)}`, loading: "lazy" })));
}

function markJob(item, video) {
  item.querySelector(".job-state").textContent = sayState(video);
  const bar = item.querySelector("progress");
  bar.hidden = video.state !== "running";
  bar.value = video.progress;
}

function markWaiting(item, video) {
  markJob(item, video);
  const place = waiting().findIndex((other) => other.id === video.id);
  item.classList.toggle("running", video.state === "running");
  if (video.state === "running" && video.preview) showAt(item.querySelector("img"), api.previewOf(video));
  item.querySelector(".grip").classList.toggle("off", place < 0);
  const may = { earlier: place > 0, later: place >= 0 && place < waiting().length - 1, cancel: !video.cancelling };
  for (const [does, is] of Object.entries(may)) item.querySelector(`[data-does=${does}]`).setAttribute("aria-disabled", String(!is));
}

// Change a picture without a gap between two.
export function showAt(image, address) {
  if (image.dataset.next === address) return;
  image.dataset.next = address;
  const next = new Image();
  next.onload = () => image.dataset.next === address && (image.src = address);
  next.src = address;
}

async function act(work) {
  await attempt(work);
  await refresh();
  if (document.activeElement === document.body && !$("make").hidden) $("queue-title").focus();
}

export const cancelJob = (id) => act(() => api.cancel(id));

function shift(id, by) {
  const others = waiting();
  const place = others.findIndex((video) => video.id === id);
  const to = place + by;
  if (place < 0 || to < 0 || to >= others.length) return;
  tellProgress(`${nameOf(others[place])} is now number ${to + 1} of those that wait`);
  act(() => api.move(id, others[by < 0 ? to : to + 1]?.id ?? null));
}

// Drag a job by its grip, with a mouse or a finger.
function drag(event, item) {
  if (item.classList.contains("running") || event.button !== 0) return;
  event.preventDefault();
  dragged = item;
  item.classList.add("dragged");
  const follow = (moved) => {
    const others = [...item.parentElement.children].filter((other) => other !== item && !other.classList.contains("running"));
    const next = others.find((other) => moved.clientY < other.getBoundingClientRect().top + other.offsetHeight / 2) ?? null;
    if (next !== item.nextElementSibling) item.parentElement.insertBefore(item, next);
  };
  const end = (ended) => {
    removeEventListener("pointermove", follow);
    item.classList.remove("dragged");
    dragged = null;
    if (ended.type === "pointerup") act(() => api.move(item.dataset.id, item.nextElementSibling?.dataset.id ?? null));
    else showQueue();
  };
  on(window, "pointermove", follow);
  for (const kind of ["pointerup", "pointercancel"]) on(window, kind, (ended) => dragged && end(ended), { once: true });
}

function showNow() {
  const running = jobs.queue.find((video) => video.state === "running");
  const count = waiting().length;
  $("now").hidden = jobs.queue.length === 0;
  $("now").href = running ? `#/clip/${running.id}` : "#/";
  $("now").textContent = [running && `Making · ${running.progress} %`, count && plural(count, "waits", "wait")].filter(Boolean).join(" · ");
  document.title = running ? `${running.progress} % · unstill` : "unstill";
}

// Tell those who listen, at quarters, not at every step.
function speak(event) {
  const video = findJob(event.video);
  if (!video) return;
  if (event.kind in HAPPENED) tellProgress(`${nameOf(video)} ${HAPPENED[event.kind]}`);
  else if (event.kind === "progress" && video.progress >= 25) tellProgress(`${nameOf(video)}: ${25 * Math.floor(video.progress / 25)} percent`);
}
