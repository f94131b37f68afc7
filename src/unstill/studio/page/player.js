// Plays a finished clip, frame by frame where wanted, beside the picture that it came from.

import * as api from "./api.js";
import { h, icon, iconButton, on } from "./dom.js";
import { keep, kept } from "./kept.js";

const SPEEDS = [0.25, 0.5, 1, 2];
const PLAYABLE = ["mp4", "webm"];
const UNSENT = ["device", "takes", "max_memory"]; // knobs of a settled clip that cannot be asked for

// Make a player; `onFrame` hears the number of each frame that is shown, from 0.
export function makePlayer(video, onFrame) {
  const film = h("video", { muted: true, playsinline: true, preload: "auto", loop: kept.isLooping, "aria-label": "The clip" });
  film.src = api.contentOf(video, PLAYABLE.includes(video.suffix) ? "" : "mp4");
  const screen = h("div", { class: "screen" }, film);
  const trouble = h("p", { class: "problem", role: "alert" });
  const state = { video, film, screen, trouble, frame: 0, count: video.frames || 1, fps: video.fps || 7, onFrame };
  state.element = h("figure", { class: "player", "aria-label": "Player" }, screen, trouble, makeControls(state));
  const heard = { loadedmetadata: ready, error: fallBack, play: showPlaying, pause: showPlaying, click: togglePlay };
  for (const [kind, act] of Object.entries(heard)) on(film, kind, () => act(state));
  watchFrames(state);
  const keys = (event) => press(event, state);
  on(document, "keydown", keys);
  const stop = () => {
    document.removeEventListener("keydown", keys);
    film.removeAttribute("src");
    film.load();
  };
  return { element: state.element, stop, seek: (frame) => seek(state, frame) };
}

function makeControls(state) {
  const { film } = state;
  state.play = iconButton("play", "Play", () => togglePlay(state));
  state.scrubber = h("input", { type: "range", class: "scrubber", min: 1, max: state.count, value: 1, "aria-label": "Frame", oninput: () => seek(state, state.scrubber.value - 1) });
  state.number = h("output", { class: "frame-number" });
  const toggleLoop = () => {
    film.loop = !film.loop;
    keep({ isLooping: film.loop });
    loop.ariaPressed = film.loop;
  };
  const loop = iconButton("loop", "Loop", toggleLoop, { "aria-pressed": String(film.loop) });
  const speed = h("select", { "aria-label": "Speed", onchange: () => (film.playbackRate = speed.value) }, SPEEDS.map((rate) => h("option", { value: rate, text: `${rate}×` })));
  speed.value = 1;
  state.compare = iconButton("compare", "Compare with the picture", () => toggleCompare(state), { "aria-pressed": "false" });
  const steps = [iconButton("before", "One frame back", () => step(state, -1)), iconButton("after", "One frame on", () => step(state, 1))];
  return h("div", { class: "controls" }, state.play, steps, state.scrubber, state.number, loop, speed, state.compare, iconButton("full", "Full screen", () => toggleFull(state)));
}

function ready(state) {
  const { film } = state;
  if (Number.isFinite(film.duration)) state.count = Math.max(1, Math.round(film.duration * state.fps));
  state.scrubber.max = state.count;
  showFrame(state, 0);
  state.element.style.setProperty("--ratio", film.videoWidth / film.videoHeight);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) film.play().catch(() => {});
}

// Where a browser has no H.264, VP9 it is.
function fallBack({ film, video, trouble }) {
  const webm = api.contentOf(video, "webm");
  if (film.getAttribute("src") === webm) trouble.textContent = "The clip cannot be played here; it can still be downloaded.";
  else if (film.getAttribute("src")) film.src = webm;
}

function watchFrames(state) {
  state.film.requestVideoFrameCallback?.((_, told) => {
    showFrame(state, Math.round(told.mediaTime * state.fps));
    watchFrames(state);
  });
}

function showFrame(state, frame) {
  const { scrubber, count } = state;
  state.frame = Math.min(Math.max(frame, 0), count - 1);
  scrubber.value = state.frame + 1;
  scrubber.style.setProperty("--at", `${(100 * state.frame) / Math.max(1, count - 1)}%`);
  scrubber.ariaValueText = `frame ${state.frame + 1} of ${count}`;
  state.number.textContent = `${state.frame + 1} / ${count}`;
  state.onFrame(state.frame, count);
}

function seek(state, frame) {
  state.film.pause();
  showFrame(state, frame);
  state.film.currentTime = (state.frame + 0.5) / state.fps; // within the frame, where no rounding reaches the next
}

const step = (state, by) => seek(state, (state.frame + by + state.count) % state.count);
const togglePlay = ({ film }) => (film.paused ? film.play().catch(() => {}) : film.pause());
const toggleFull = ({ element }) => (document.fullscreenElement ? document.exitFullscreen() : element.requestFullscreen?.().catch(() => {}));

function showPlaying({ film, play }) {
  play.replaceChildren(icon(film.paused ? "play" : "pause"));
  play.ariaLabel = play.title = film.paused ? "Play" : "Pause";
}

// Lay the picture over the clip, as far as a slider that is drawn over both.
async function toggleCompare({ compare, screen, film, video }) {
  const isOn = compare.getAttribute("aria-pressed") !== "true";
  compare.ariaPressed = isOn;
  if (!isOn) return screen.querySelectorAll(":scope > :not(video)").forEach((part) => part.remove());
  const before = h("canvas", { class: "over", "aria-hidden": "true", width: film.videoWidth || 1, height: film.videoHeight || 1 });
  const show = () => (before.style.clipPath = `inset(0 ${100 - wipe.value}% 0 0)`);
  const wipe = h("input", { type: "range", class: "wipe", value: 50, "aria-label": "Picture to the left, clip to the right", oninput: show });
  show();
  screen.append(before, wipe, h("span", { class: "tag", text: "Picture" }), h("span", { class: "tag right", text: "Clip" }));
  wipe.focus();
  return drawPicture(before, video).catch(() => before.replaceWith(h("p", { class: "tag", text: "The picture is no longer here" })));
}

// Draw that part of the picture that the clip shows, in the clip's size.
async function drawPicture(canvas, video) {
  const image = new Image();
  image.src = api.pictureAt(video.picture);
  const knobs = Object.fromEntries(Object.entries(video.settled ?? video.knobs).filter(([name]) => !UNSENT.includes(name)));
  const [{ crop }] = await Promise.all([api.plan({ picture: video.picture, ...knobs, look: false }), image.decode()]);
  const [w, tall] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, crop.left * w, crop.top * tall, crop.width * w, crop.height * tall, 0, 0, canvas.width, canvas.height);
}

const back = (state) => step(state, -1);
const forth = (state) => step(state, 1);
const KEYS = { ",": back, ArrowLeft: back, ".": forth, ArrowRight: forth, Home: (state) => seek(state, 0), End: (state) => seek(state, state.count - 1), " ": togglePlay, c: toggleCompare, f: toggleFull };

function press(event, state) {
  const { key, target } = event;
  if (!(key in KEYS) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (target.matches("input, select") && !",.".includes(key)) return; // these have a use for it themselves
  if (key === " " && target.matches("button, a, summary")) return;
  event.preventDefault();
  KEYS[key](state);
}
