// One control for each kind of knob: what is set is shown, what is not is shown as the plan settles it.

import { h, icon, iconButton, inWords } from "./dom.js";
import { kept, setKnob } from "./kept.js";

const SLIDERS = { motion: [0, 255, 1], noise: [0, 0.3, 0.01], fps: [1, 30, 1], frames: [2, 64, 1], steps: [1, 50, 1], quality: [1, 100, 1] };
const SHAPES = { auto: undefined, landscape: "1024x576", square: "768x768", portrait: "576x1024", custom: "" };
const LABELS = { want_motion: "Wanted motion", fps: "Imagined rate", look: "Look first", recipe: "Recipe in the file", play_fps: "Frame rate", smooth: "Smooth to" };
const MOST_SEGMENTS = 5;

export const labelOf = (name) => LABELS[name] ?? name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
const describe = (name) => ({ "aria-describedby": `help-${name} problem-${name}` });

// Put a control into its row: label, value, the way back, one sentence, and room for a problem.
export function makeRow(knob, control) {
  const { name } = knob;
  const label = h(control.isGroup ? "span" : "label", { class: "label", id: `label-${name}`, ...(control.isGroup ? {} : { for: `knob-${name}` }), text: labelOf(name) });
  const value = h("output", { class: "knob-value" });
  const leave = () => {
    setKnob(name, undefined);
    control.focus();
  };
  const reset = iconButton("again", `Leave ${labelOf(name).toLowerCase()} open`, leave);
  const problem = h("p", { class: "problem", id: `problem-${name}` });
  const help = h("p", { class: "help", id: `help-${name}`, text: inWords(knob.help) });
  const row = h("div", { class: `knob ${control.class ?? ""}`, "data-knob": name }, h("div", { class: "knob-top" }, label, value, reset), control.element, help, problem);
  const show = (given, settled) => {
    row.classList.toggle("is-set", given !== undefined);
    reset.hidden = given === undefined;
    value.textContent = control.says?.(given, settled) ?? "";
    control.show(given, settled);
  };
  const complain = (text) => {
    problem.hidden = !text;
    problem.textContent = text;
    control.field?.setAttribute("aria-invalid", String(Boolean(text)));
  };
  return { row, show, complain, control };
}

export function makeControl(knob, models) {
  if (knob.name === "model") return makeSelect(knob, [["auto", "auto: the best that runs here"], ...models.map((model) => [model.id, nameModel(model)])]);
  if (knob.name === "size") return makeSize(knob);
  if (knob.name === "seed") return makeSeed(knob);
  if (knob.name in SLIDERS) return makeSlider(knob, SLIDERS[knob.name]);
  if (knob.kind === "flag") return makeSwitch(knob);
  if (knob.kind !== "choice") return makeField(knob);
  return knob.choices.length > MOST_SEGMENTS ? makeSelect(knob, knob.choices.map((choice) => [choice, choice])) : makeSegments(knob, knob.choices);
}

const nameModel = (model) => `${model.id}${model.here ? "" : " (not fetched yet)"}: ${model.about}`;

function makeRadios(name, choices, choose, { kind = "segments", draw = () => null } = {}) {
  const inputs = choices.map((value) => h("input", { type: "radio", name: `knob-${name}`, value, onchange: () => choose(value) }));
  const labels = inputs.map((input) => h("label", {}, input, h("span", {}, draw(input.value), h("span", { text: input.value }))));
  const element = h("div", { class: kind, role: "radiogroup", "aria-labelledby": `label-${name}`, ...describe(name) }, labels);
  const check = (value) => inputs.forEach((input) => (input.checked = input.value === String(value)));
  return { element, isGroup: true, check, focus: () => inputs[0].focus() };
}

// A choice among few, side by side; `first` is what leaves the knob open.
export function makeSegments(knob, choices, { first = knob.default, icons = "" } = {}) {
  const all = choices.includes(first) ? choices : [first, ...choices];
  const how = icons ? { kind: "tiles", draw: (value) => icon(`${icons}-${value}`) } : {};
  const radios = makeRadios(knob.name, all, (value) => setKnob(knob.name, value === first ? undefined : value), how);
  return { ...radios, show: (given) => radios.check(given ?? first), says: (given) => (given === undefined || all.includes(String(given)) ? "" : `${given}`) };
}

function makeSelect(knob, choices) {
  const set = () => setKnob(knob.name, field.value === knob.default ? undefined : field.value);
  const field = h("select", { id: `knob-${knob.name}`, onchange: set, ...describe(knob.name) }, choices.map(([value, text]) => h("option", { value, text })));
  return { element: field, field, show: (given) => (field.value = given ?? knob.default), focus: () => field.focus() };
}

function makeSwitch(knob) {
  const set = () => setKnob(knob.name, field.checked === knob.default ? undefined : field.checked);
  const field = h("input", { type: "checkbox", role: "switch", class: "switch", id: `knob-${knob.name}`, onchange: set, ...describe(knob.name) });
  return { element: field, field, class: "flag", show: (given) => (field.checked = given ?? knob.default), focus: () => field.focus() };
}

function makeField(knob, open = knob.range) {
  const isNumber = knob.kind !== "text" && knob.name !== "seed"; // a seed has more digits than a number here
  const read = (text) => (text === "" ? undefined : isNumber ? Number(text) : text);
  const how = isNumber ? { type: "number", min: knob.least, max: knob.most, step: "any" } : { type: "text", autocomplete: "off", spellcheck: "false" };
  const field = h("input", { id: `knob-${knob.name}`, ...how, oninput: () => setKnob(knob.name, read(field.value.trim())), ...describe(knob.name) });
  const show = (given, settled) => {
    field.placeholder = (knob.name === "seed" ? null : settled) ?? knob.default ?? open;
    if (document.activeElement !== field) field.value = given ?? "";
  };
  return { element: field, field, show, focus: () => field.focus() };
}

function makeSlider(knob, [least, most, step]) {
  const control = makeField(knob, "");
  const slider = h("input", { type: "range", min: least, max: most, step, "aria-label": `${labelOf(knob.name)}, slider`, oninput: () => setKnob(knob.name, Number(slider.value)) });
  const show = (given, settled) => {
    const value = given ?? settled ?? knob.default;
    if (value !== null && value !== undefined) slider.value = value;
    slider.style.setProperty("--at", `${(100 * (slider.value - least)) / (most - least)}%`);
    control.show(given, settled);
  };
  const lock = (isLocked) => [slider, control.field].forEach((input) => (input.disabled = isLocked));
  return { ...control, element: h("div", { class: "slider" }, slider, control.field), show, lock, focus: () => slider.focus() };
}

function makeSeed(knob) {
  const control = makeField(knob, "at random for each clip");
  control.field.inputMode = "numeric";
  const throwDie = () => setKnob(knob.name, String(crypto.getRandomValues(new Uint32Array(1))[0]));
  return { ...control, element: h("div", { class: "seed" }, control.field, iconButton("dice", "Throw the die: a seed at random", throwDie, { id: "die" })) };
}

function makeSize(knob) {
  let isCustom = false;
  let usual = "1024x576";
  const choose = (name) => {
    isCustom = name === "custom";
    setKnob("size", isCustom ? (kept.settings.size ?? usual) : SHAPES[name]);
  };
  const radios = makeRadios("size", Object.keys(SHAPES), choose);
  const side = (label) => h("input", { type: "number", "aria-label": label, min: 64, max: 4096, oninput: () => setKnob("size", `${width.value}x${height.value}`) });
  const [width, height] = [side("Width in pixels"), side("Height in pixels")];
  const sides = h("div", { class: "sides" }, width, "×", height);
  const show = (given, settled) => {
    usual = settled ?? usual;
    isCustom &&= given !== undefined;
    const name = isCustom ? "custom" : (Object.keys(SHAPES).find((one) => SHAPES[one] === given) ?? "custom");
    radios.check(name);
    sides.hidden = name !== "custom";
    if (!sides.hidden && !sides.contains(document.activeElement)) [width.value, height.value] = String(given).split("x");
  };
  return { ...radios, element: h("div", {}, radios.element, sides), show, says: (given, settled) => settled?.replace("x", " × ") };
}

// Beside the frames: the seconds that they play, which set them.
export function addSeconds(control, knob) {
  let rate = 7; // frames a second, as the last plan has it
  const set = () => field.value > 0 && setKnob(knob.name, Math.min(knob.most, Math.max(knob.least, Math.round(field.value * rate))));
  const field = h("input", { type: "number", "aria-label": "Seconds", min: 0.3, step: "any", oninput: set });
  control.element.append(h("span", { class: "fine beside" }, "or", field, "s"));
  const show = (given, settled) => {
    control.show(given, settled);
    const frames = given ?? settled;
    if (document.activeElement !== field) field.value = frames ? (frames / rate).toFixed(1) : "";
  };
  return { ...control, show, setRate: (plan) => plan?.seconds > 0 && (rate = plan.frames / plan.seconds) };
}
