// Plays a finished clip, frame by frame where wanted, beside the picture that it came from. It knows no queue.

import * as api from "./api.js";
import { h, icon, iconButton, prefersStill } from "./dom.js";
import { keep, kept } from "./kept.js";

const SPEEDS = [0.25, 0.5, 1, 2];
const PLAYABLE = ["mp4", "webm"];
const UNSENT = ["device", "takes", "max_memory"]; // knobs of a settled clip that cannot be asked for

/** Make a player; `onFrame` hears the number of each frame that is shown, from 0. */
export function makePlayer(video, onFrame) {
  const film = h("video", { muted: true, playsinline: true, preload: "auto", loop: kept.isLooping, "aria-label": "The clip" });
  film.src = api.contentOf(video, PLAYABLE.includes(video.suffix) ? "" : "mp4");
  const screen = h("div", { class: "screen" }, film);
  const state = { video, film, screen, frame: 0, count: video.frames || 1, fps: video.fps || 7, onFrame };
  const controls = makeControls(state);
  const element = h("figure", { class: "player", "aria-label": "Player" }, screen, h("p", { class: "problem", role: "alert" }), controls);
  state.element = element;
  film.addEventListener("loadedmetadata", () => ready(state));
  film.addEventListener("error", () => fallBack(state));
  film.addEventListener("play", () => showPlaying(state));
  film.addEventListener("pause", () => showPlaying(state));
  screen.addEventListener("click", (event) => event.target === film && togglePlay(state));
  watchFrames(state);
  const keys = (event) => press(event, state);
  document.addEventListener("keydown", keys);
  const stop = () => {
    document.removeEventListener("keydown", keys);
    film.pause();
    film.removeAttribute("src");
    film.load();
  };
  return { element, stop, seek: (frame) => seek(state, frame) };
}

function makeControls(state) {
  const { film } = state;
  state.play = iconButton("play", "Play", () => togglePlay(state));
  state.scrubber = h("input", { type: "range", class: "scrubber", min: 1, max: state.count, value: 1, step: 1, "aria-label": "Frame", oninput: () => seek(state, state.scrubber.value - 1) });
  state.number = h("output", { class: "frame-number" });
  const loop = iconButton("loop", "Loop", () => {
    film.loop = !film.loop;
    keep({ isLooping: film.loop });
    loop.setAttribute("aria-pressed", String(film.loop));
  }, { "aria-pressed": String(film.loop) });
  const setSpeed = () => (film.playbackRate = Number(speed.value));
  const speed = h("select", { "aria-label": "Speed", onchange: setSpeed }, SPEEDS.map((rate) => h("option", { value: rate, text: `${rate}×` })));
  speed.value = "1";
  state.compare = iconButton("compare", "Compare with the picture", () => toggleCompare(state), { "aria-pressed": "false" });
  const full = iconButton("full", "Full screen", () => toggleFull(state));
  const before = iconButton("before", "One frame back", () => step(state, -1));
  const after = iconButton("after", "One frame on", () => step(state, 1));
  return h("div", { class: "controls" }, state.play, before, after, state.scrubber, state.number, loop, speed, state.compare, full);
}

function ready(state) {
  const { film } = state;
  if (Number.isFinite(film.duration)) state.count = Math.max(1, Math.round(film.duration * state.fps));
  state.scrubber.max = state.count;
  showFrame(state, 0);
  state.screen.style.aspectRatio = `${film.videoWidth} / ${film.videoHeight}`;
  state.screen.style.setProperty("--ratio", film.videoWidth / film.videoHeight);
  if (!prefersStill()) film.play().catch(() => {});
}

/** Where a browser has no H.264, VP9 it is. */
function fallBack(state) {
  if (!state.film.getAttribute("src")) return;
  const webm = api.contentOf(state.video, "webm");
  if (state.film.getAttribute("src") !== webm && state.film.error?.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED) {
    state.film.src = webm;
    return;
  }
  state.element.querySelector(".problem").textContent = "The clip cannot be played here; it can still be downloaded.";
}

function watchFrames(state) {
  const { film } = state;
  if (film.requestVideoFrameCallback) {
    const look = (_, told) => {
      showFrame(state, Math.round(told.mediaTime * state.fps));
      film.requestVideoFrameCallback(look);
    };
    film.requestVideoFrameCallback(look);
  } else film.addEventListener("timeupdate", () => showFrame(state, Math.floor(film.currentTime * state.fps)));
}

function showFrame(state, frame) {
  state.frame = Math.min(Math.max(frame, 0), state.count - 1);
  state.scrubber.value = state.frame + 1;
  state.scrubber.style.setProperty("--at", `${(100 * state.frame) / Math.max(1, state.count - 1)}%`);
  state.scrubber.setAttribute("aria-valuetext", `frame ${state.frame + 1} of ${state.count}`);
  state.number.textContent = `${state.frame + 1} / ${state.count}`;
  state.onFrame(state.frame, state.count);
}

/** Show one frame, and stop there. */
function seek(state, frame) {
  state.film.pause();
  showFrame(state, Number(frame));
  state.film.currentTime = (state.frame + 0.5) / state.fps; // within the frame, where no rounding reaches the next
}

const step = (state, by) => seek(state, (state.frame + by + state.count) % state.count);

function togglePlay({ film }) {
  if (film.paused) film.play().catch(() => {});
  else film.pause();
}

function showPlaying({ film, play }) {
  const word = film.paused ? "Play" : "Pause";
  play.replaceChildren(icon(film.paused ? "play" : "pause"));
  play.setAttribute("aria-label", word);
  play.title = word;
}

function toggleFull({ element }) {
  if (document.fullscreenElement) document.exitFullscreen();
  else element.requestFullscreen?.().catch(() => {});
}

/** Lay the picture over the clip, as far as a slider that is drawn over both. */
async function toggleCompare(state) {
  const isOn = state.compare.getAttribute("aria-pressed") !== "true";
  state.compare.setAttribute("aria-pressed", String(isOn));
  if (!isOn) {
    state.screen.querySelectorAll(".before, .wipe, .tag").forEach((part) => part.remove());
    return;
  }
  const { film } = state;
  const before = h("canvas", { class: "before", "aria-hidden": "true", width: film.videoWidth || 1, height: film.videoHeight || 1 });
  const wipe = h("input", { type: "range", class: "wipe", min: 0, max: 100, value: 50, "aria-label": "Picture to the left, clip to the right", oninput: () => show() });
  const show = () => (before.style.clipPath = `inset(0 ${100 - wipe.value}% 0 0)`);
  show();
  state.screen.append(before, wipe, h("span", { class: "tag left", text: "Picture" }), h("span", { class: "tag right", text: "Clip" }));
  wipe.focus();
  await drawPicture(before, state.video).catch(() => before.replaceWith(h("p", { class: "tag left", text: "The picture is no longer here" })));
}

/** Draw that part of the picture that the clip shows, in the clip's size. */
async function drawPicture(canvas, video) {
  const image = new Image();
  image.src = api.pictureAt(video.picture);
  const knobs = Object.fromEntries(Object.entries(video.settled ?? video.knobs).filter(([name]) => !UNSENT.includes(name)));
  const [plan] = await Promise.all([api.plan({ picture: video.picture, ...knobs, look: false }), image.decode()]);
  const { left, top, width, height } = plan.crop;
  const [w, tall] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, left * w, top * tall, width * w, height * tall, 0, 0, canvas.width, canvas.height);
}

const KEYS = {
  ",": (state) => step(state, -1),
  ".": (state) => step(state, 1),
  ArrowLeft: (state) => step(state, -1),
  ArrowRight: (state) => step(state, 1),
  Home: (state) => seek(state, 0),
  End: (state) => seek(state, state.count - 1),
  " ": togglePlay,
  c: toggleCompare,
  f: toggleFull,
};

function press(event, state) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { target } = event;
  const isTyped = target.matches("input, select, textarea");
  if (isTyped && !(event.key === "," || event.key === "." || (event.key === " " && target.type === "range"))) return;
  if (event.key === " " && target.matches("button, a, summary")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act(state);
}
