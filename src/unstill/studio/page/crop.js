// The picture on the stage, and over it what the clip will show of it. The server says what that is; here it is moved.

import * as api from "./api.js";
import { $, h, on } from "./dom.js";
import { changePicture, currentPicture, kept } from "./kept.js";

const STEP = 0.02; // of the picture, for a press of an arrow key; five times that with Shift
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

let shown = null; // the picture on the stage
let crop = null; // fractions of it: left, top, width, height
let image = null;
let frame = null;

// Show the chosen picture, and drop the crop of another one.
export function showPicture() {
  const picture = currentPicture();
  if (picture?.id === shown) return placeCrop();
  shown = picture?.id ?? null;
  crop = null;
  $("framing").replaceChildren();
  if (picture === null) return undefined;
  image = h("img", { src: api.pictureAt(picture.id), alt: picture.name ? `The picture ${picture.name}` : "The chosen picture", draggable: "false" });
  on(image, "load", () => setRatio(image.naturalWidth / image.naturalHeight));
  frame = h("div", { class: "crop", role: "slider", tabindex: "0", "aria-label": "What the clip shows", "aria-valuemin": 0, "aria-valuemax": 100 });
  frame.append(h("i"), h("i"));
  const print = h("div", { class: "print" }, image, frame);
  const setRatio = (ratio) => print.style.setProperty("--ratio", ratio);
  if (picture.width) setRatio(picture.width / picture.height); // no stage jumps while it loads
  on(print, "pointerdown", drag);
  on(frame, "keydown", press);
  $("framing").append(print);
  return placeCrop();
}

export function showCrop(told) {
  crop = told ? { ...told } : null;
  placeCrop();
}

const isMovable = () => crop !== null && (kept.settings.fit ?? "crop") === "crop" && (crop.width < 0.98 || crop.height < 0.98);

const middle = () => [crop.left + crop.width / 2, crop.top + crop.height / 2];

function placeCrop() {
  if (!frame) return;
  frame.hidden = crop === null;
  $("framing-note").hidden = !isMovable();
  if (crop === null) return;
  for (const side of ["left", "top", "width", "height"]) frame.style[side] = `${100 * crop[side]}%`;
  const [x, y] = middle().map((share) => Math.round(100 * share));
  frame.classList.toggle("movable", isMovable());
  frame.ariaDisabled = !isMovable();
  frame.ariaValueNow = crop.width < 0.999 ? x : y;
  frame.ariaValueText = `its middle is ${x} % from the left and ${y} % from the top`;
}

// Put the middle of the crop there, as far as the picture goes.
function moveTo(x, y) {
  const within = (place, length) => Math.min(Math.max(place - length / 2, 0), 1 - length);
  crop = { ...crop, left: within(x, crop.width), top: within(y, crop.height) };
  placeCrop();
  changePicture(shown, { focus: middle().map((share) => Math.round(1000 * share) / 1000).join() });
}

function drag(event) {
  if (!isMovable() || event.button !== 0) return;
  event.preventDefault();
  frame.focus({ preventScroll: true });
  const print = event.currentTarget;
  const box = image.getBoundingClientRect();
  if (event.target !== frame) moveTo((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  const [x, y] = middle();
  print.setPointerCapture(event.pointerId);
  print.onpointermove = (moved) => moveTo(x + (moved.clientX - event.clientX) / box.width, y + (moved.clientY - event.clientY) / box.height);
  print.onlostpointercapture = () => (print.onpointermove = null);
}

function press(event) {
  const way = KEYS[event.key];
  if (!way || !isMovable()) return;
  event.preventDefault();
  const step = STEP * (event.shiftKey ? 5 : 1);
  const [x, y] = middle();
  moveTo(x + step * way[0], y + step * way[1]);
}
