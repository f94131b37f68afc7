// The shape of the clip and how long it is: two knobs that people think of in words, not numbers. It asks no server.

import { h } from "./dom.js";
import { kept, setKnob } from "./kept.js";

const SHAPES = { auto: undefined, landscape: "1024x576", square: "768x768", portrait: "576x1024" };

/** Shapes by name, and two fields for any other. */
export function makeSize(knob) {
  let isCustom = false;
  let settledSize = "1024x576";
  const group = h("div", { class: "segments", role: "radiogroup", "aria-labelledby": `label-${knob.name}`, "aria-describedby": `help-${knob.name} problem-${knob.name}` });
  const inputs = new Map();
  const choose = (name) => {
    isCustom = name === "custom";
    setKnob(knob.name, isCustom ? (kept.settings.size ?? settledSize) : SHAPES[name]);
  };
  for (const name of [...Object.keys(SHAPES), "custom"]) {
    const input = h("input", { type: "radio", name: "knob-size", value: name, onchange: () => choose(name) });
    inputs.set(name, input);
    group.append(h("label", {}, input, h("span", {}, h("i", { class: `shape ${name}` }), h("span", { text: name }))));
  }
  const setSides = () => setKnob(knob.name, `${width.value}x${height.value}`);
  const side = (label) => h("input", { type: "number", "aria-label": label, min: 64, max: 4096, step: 1, oninput: setSides });
  const [width, height] = [side("Width in pixels"), side("Height in pixels")];
  const sides = h("div", { class: "sides" }, width, h("span", { text: "×" }), height);
  const show = (given, settled) => {
    settledSize = settled ?? settledSize;
    const named = Object.keys(SHAPES).find((name) => SHAPES[name] === given);
    const name = given !== undefined && (isCustom || !named) ? "custom" : (named ?? "auto");
    if (given === undefined) isCustom = false;
    inputs.get(name).checked = true;
    sides.hidden = name !== "custom";
    if (name !== "custom" || sides.contains(document.activeElement)) return;
    [width.value, height.value] = String(given).split("x");
  };
  return { element: h("div", { class: "size" }, group, sides), isGroup: true, show, focus: () => inputs.get("auto").focus(), says: (given, settled) => (settled ?? "").replace("x", " × ") };
}

/** Beside the frames: the seconds that they play, which set them. */
export function addSeconds(control, knob) {
  let rate = 7; // frames a second, as the last plan has it
  const set = () => {
    const seconds = Number(field.value);
    if (seconds > 0) setKnob(knob.name, Math.min(knob.most ?? 128, Math.max(knob.least ?? 2, Math.round(seconds * rate))));
  };
  const field = h("input", { type: "number", "aria-label": "Seconds", min: 0.3, step: "any", inputmode: "decimal", oninput: set });
  control.element.append(h("span", { class: "beside" }, "or", field, "s"));
  const showFrames = control.show;
  control.show = (given, settled) => {
    showFrames(given, settled);
    const frames = given ?? settled;
    if (document.activeElement !== field) field.value = frames ? (frames / rate).toFixed(1) : "";
  };
  control.setRate = (plan) => {
    if (plan?.seconds > 0) rate = plan.frames / plan.seconds;
  };
  return control;
}
