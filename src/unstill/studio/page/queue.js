// What runs and what waits, in order; it can be put into another, cancelled, tried again. It knows no settings.

import * as api from "./api.js";
import { $, h, icon, iconButton, nameOf, plural, showList } from "./dom.js";
import { jobs, onJobs, refresh } from "./live.js";
import { attempt, tellProgress } from "./say.js";

export const STAGES = {
  prepare: "reading the picture",
  load: "loading the model",
  sample: "finding the motion",
  decode: "drawing the frames",
  check: "measuring what came out",
  write: "writing the file",
};
const LATELY = 12;
let dragged = null; // what is being moved; the list stands still meanwhile

/** Say in words how far a clip is. */
export function sayState(video) {
  if (video.state === "running") return video.cancelling ? "stops after this step" : `${STAGES[video.stage] ?? "begins"} · ${video.progress} %`;
  if (video.state === "queued") return video.place === 1 ? "is next" : video.place ? `waits, number ${video.place}` : "waits";
  if (video.state === "failed") return video.error?.message ?? "failed";
  return video.state;
}

/** Follow the jobs. */
export function mountQueue() {
  onJobs((event) => {
    showQueue();
    showNow();
    if (event) speak(event);
  });
}

function showQueue() {
  if (dragged) return;
  const ended = jobs.lately.filter((video) => video.state === "failed" || video.state === "cancelled").slice(0, LATELY);
  const done = jobs.lately.filter((video) => video.state === "completed").slice(0, LATELY);
  $("queue-empty").hidden = !jobs.isKnown || jobs.queue.length + ended.length > 0;
  showList($("queue-list"), jobs.queue, makeJob, markJob);
  showList($("ended-list"), ended, makeEnded, markEnded);
  $("lately").hidden = done.length === 0;
  showList($("lately-list"), done, makeLately);
}

function makeText(video) {
  const name = h("a", { href: `#/clip/${video.id}`, class: "job-name", text: nameOf(video) });
  return h("div", { class: "job-text" }, name, h("span", { class: "job-state" }), h("progress", { max: 100, value: 0, "aria-label": `Progress of ${nameOf(video)}` }));
}

const makePicture = (video) => h("img", { class: "job-picture", alt: "", src: video.picture ? api.pictureAt(video.picture, "thumbnail") : "/static/icon.svg" });

function makeJob(video) {
  const name = nameOf(video);
  const grip = h("span", { class: "grip", "aria-hidden": "true" }, icon("grip"));
  const item = h("li", { class: "job" }, grip, makePicture(video), makeText(video));
  grip.addEventListener("pointerdown", (event) => drag(event, item));
  const earlier = iconButton("up", `${name}: earlier`, () => shift(video.id, -1), { "data-does": "earlier" });
  const later = iconButton("down", `${name}: later`, () => shift(video.id, 1), { "data-does": "later" });
  const cancel = iconButton("close", `Cancel ${name}`, () => cancelJob(video.id), { "data-does": "cancel" });
  item.append(h("div", { class: "job-actions" }, earlier, later, cancel));
  return item;
}

const waiting = () => jobs.queue.filter((video) => video.state === "queued");

function markJob(item, video) {
  const place = waiting().findIndex((other) => other.id === video.id);
  item.classList.toggle("running", video.state === "running");
  item.querySelector(".job-state").textContent = sayState(video);
  const bar = item.querySelector("progress");
  bar.hidden = video.state !== "running";
  bar.value = video.progress;
  const image = item.querySelector("img");
  if (video.state === "running" && video.preview) showAt(image, api.previewOf(video));
  item.querySelector(".grip").classList.toggle("off", place < 0);
  const may = (does, is) => item.querySelector(`[data-does=${does}]`).setAttribute("aria-disabled", String(!is));
  may("earlier", place > 0);
  may("later", place >= 0 && place < waiting().length - 1);
  may("cancel", !video.cancelling);
}

/** Change a picture without a gap between two. */
export function showAt(image, address) {
  if (image.getAttribute("src") === address || image.dataset.next === address) return;
  image.dataset.next = address;
  const next = new Image();
  next.onload = () => image.dataset.next === address && (image.src = address);
  next.src = address;
}

function makeEnded(video) {
  const name = nameOf(video);
  const again = h("button", { type: "button", class: "quiet", "aria-label": `Try ${name} again`, onclick: () => act(() => api.retry(video.id)) }, icon("again"), h("span", { text: "Try again" }));
  const away = iconButton("bin", `Delete ${name}`, () => act(() => api.remove(video.id)));
  return h("li", { class: "job ended" }, makePicture(video), makeText(video), h("div", { class: "job-actions" }, again, away));
}

function markEnded(item, video) {
  item.querySelector(".job-state").textContent = sayState(video);
  item.querySelector("progress").hidden = true;
}

function makeLately(video) {
  const image = h("img", { src: api.thumbnailOf(video), alt: `Open ${nameOf(video)}`, loading: "lazy" });
  return h("li", {}, h("a", { href: `#/clip/${video.id}` }, image));
}

async function act(work) {
  await attempt(work);
  await refresh();
  if (document.activeElement === document.body && !$("make").hidden) $("queue-title").focus();
}

/** Cancel a job, wherever its button was. */
export const cancelJob = (id) => act(() => api.cancel(id));

/** Move a waiting job by one place. */
function shift(id, by) {
  const others = waiting();
  const place = others.findIndex((video) => video.id === id);
  const to = place + by;
  if (place < 0 || to < 0 || to >= others.length) return;
  const before = by < 0 ? others[to].id : (others[to + 1]?.id ?? null);
  tellProgress(`${nameOf(others[place])} is now number ${to + 1} of those that wait`);
  act(() => api.move(id, before));
}

/** Drag a job by its grip, with a mouse or a finger. */
function drag(event, item) {
  if (item.classList.contains("running") || event.button !== 0) return;
  event.preventDefault();
  dragged = item;
  item.classList.add("dragged");
  const list = item.parentElement;
  const follow = (moved) => {
    const others = [...list.children].filter((other) => other !== item && !other.classList.contains("running"));
    const next = others.find((other) => {
      const box = other.getBoundingClientRect();
      return moved.clientY < box.top + box.height / 2;
    });
    if ((next ?? null) !== item.nextElementSibling) list.insertBefore(item, next ?? null);
  };
  const end = (ended) => {
    removeEventListener("pointermove", follow);
    item.classList.remove("dragged");
    dragged = null;
    if (ended.type === "pointerup") act(() => api.move(item.dataset.id, item.nextElementSibling?.dataset.id ?? null));
    else showQueue();
  };
  addEventListener("pointermove", follow);
  addEventListener("pointerup", end, { once: true });
  addEventListener("pointercancel", end, { once: true });
}

/** In the bar at the top and in the tab: what is going on, wherever one is. */
function showNow() {
  const running = jobs.queue.find((video) => video.state === "running");
  const count = waiting().length;
  $("now").hidden = jobs.queue.length === 0;
  $("now").href = running ? `#/clip/${running.id}` : "#/";
  $("now").textContent = [running && `Making · ${running.progress} %`, count && plural(count, "waits", "wait")].filter(Boolean).join(" · ");
  document.body.classList.toggle("is-making", Boolean(running));
  document.title = running ? `${running.progress} % · unstill` : "unstill";
}

/** Tell those who listen, at quarters, not at every step. */
function speak(event) {
  const video = [...jobs.queue, ...jobs.lately].find((one) => one.id === event.video);
  if (!video) return;
  const words = { running: "is being made", completed: "is finished", failed: "failed", cancelled: "is cancelled" };
  if (event.kind in words) tellProgress(`${nameOf(video)} ${words[event.kind]}`);
  else if (event.kind === "progress" && video.progress >= 25) tellProgress(`${nameOf(video)}: ${25 * Math.floor(video.progress / 25)} percent`);
}
