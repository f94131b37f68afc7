// One control for each kind of knob: what is set is shown, what is not is shown as the plan settles it. It asks no server.

import { h, icon, iconButton, inWords } from "./dom.js";
import { setKnob } from "./kept.js";

const SLIDERS = { motion: [0, 255, 1], noise: [0, 0.3, 0.01], fps: [1, 30, 1], frames: [2, 64, 1], steps: [1, 50, 1], quality: [1, 100, 1] };
const MOST_SEGMENTS = 5;
const LABELS = { want_motion: "Wanted motion", fps: "Imagined rate", look: "Look first", ground: "Background", recipe: "Recipe in the file", play_fps: "Frame rate", smooth: "Smooth to" };

export const labelOf = (name) => LABELS[name] ?? name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

/** Put a control into its row: label, value, the way back, one sentence, and room for a problem. */
export function makeRow(knob, control) {
  const value = h("output", { class: "knob-value" });
  const label = control.isGroup ? h("span", { class: "label", id: `label-${knob.name}` }) : h("label", { class: "label", for: `knob-${knob.name}` });
  label.textContent = labelOf(knob.name);
  const leave = () => {
    setKnob(knob.name, undefined);
    control.focus();
  };
  const reset = iconButton("reset", `Leave ${labelOf(knob.name).toLowerCase()} open`, leave, { hidden: true });
  const problem = h("p", { class: "problem", id: `problem-${knob.name}`, hidden: true });
  const top = h("div", { class: "knob-top" }, label, value, reset);
  const help = h("p", { class: "help", id: `help-${knob.name}`, text: inWords(knob.help) });
  const row = h("div", { class: `knob ${control.class ?? ""}`, "data-knob": knob.name }, top, control.element, help, problem);
  const show = (given, settled) => {
    const isSet = given !== undefined;
    row.classList.toggle("is-set", isSet);
    reset.hidden = !isSet;
    value.textContent = control.says ? control.says(given, settled) : isSet || settled === undefined ? "" : `${settled}`;
    control.show(given, settled);
  };
  const complain = (text) => {
    problem.hidden = !text;
    problem.textContent = text;
    control.field?.setAttribute("aria-invalid", String(Boolean(text)));
  };
  return { row, show, complain, control };
}

const describe = (knob) => ({ "aria-describedby": `help-${knob.name} problem-${knob.name}` });

/** Give the control that suits a knob. */
export function makeControl(knob) {
  if (knob.kind === "flag") return makeSwitch(knob);
  if (knob.kind === "choice") return knob.choices.length > MOST_SEGMENTS ? makeSelect(knob) : makeSegments(knob);
  if (knob.name in SLIDERS) return makeSlider(knob, SLIDERS[knob.name]);
  return makeField(knob);
}

/** A choice among few, as radio buttons side by side; `first` is what leaves the knob open. */
export function makeSegments(knob, choices = knob.choices, { first = null, icons = "" } = {}) {
  const group = h("div", { class: icons ? "tiles" : "segments", role: "radiogroup", "aria-labelledby": `label-${knob.name}`, ...describe(knob) });
  const inputs = new Map();
  for (const choice of first === null ? choices : [first, ...choices]) {
    const value = choice === first || choice === knob.default ? undefined : choice;
    const input = h("input", { type: "radio", name: `knob-${knob.name}`, onchange: () => setKnob(knob.name, value) });
    input.value = choice;
    inputs.set(choice, input);
    group.append(h("label", {}, input, h("span", {}, icons ? icon(`${icons}-${choice}`) : null, h("span", { text: choice }))));
  }
  const none = first ?? knob.default;
  const show = (given) => {
    for (const input of inputs.values()) input.checked = false;
    const chosen = inputs.get(String(given ?? none));
    if (chosen) chosen.checked = true;
  };
  const focus = () => inputs.get(none)?.focus();
  return { element: group, isGroup: true, show, focus, says: (given) => (given !== undefined && !inputs.has(String(given)) ? `${given}` : "") };
}

export function makeSelect(knob, choices = knob.choices.map((choice) => [choice, choice])) {
  const options = choices.map(([value, text]) => h("option", { value, text }));
  const set = () => setKnob(knob.name, select.value === knob.default ? undefined : select.value);
  const select = h("select", { id: `knob-${knob.name}`, onchange: set, ...describe(knob) }, options);
  const show = (given) => (select.value = given ?? knob.default);
  return { element: select, field: select, show, focus: () => select.focus(), says: () => "" };
}

function makeSwitch(knob) {
  const set = () => setKnob(knob.name, input.checked === knob.default ? undefined : input.checked);
  const input = h("input", { type: "checkbox", role: "switch", class: "switch", id: `knob-${knob.name}`, onchange: set, ...describe(knob) });
  const show = (given) => (input.checked = given ?? knob.default);
  return { element: input, field: input, class: "flag", show, focus: () => input.focus(), says: () => "" };
}

function makeSlider(knob, [least, most, step]) {
  const name = labelOf(knob.name);
  const set = (text) => setKnob(knob.name, text === "" ? undefined : Number(text));
  const slider = h("input", { type: "range", min: least, max: most, step, "aria-label": `${name}, slider`, oninput: () => set(slider.value) });
  const more = { min: knob.least ?? least, max: knob.most ?? most, step: "any", inputmode: "decimal", oninput: () => set(field.value) };
  const field = h("input", { type: "number", id: `knob-${knob.name}`, ...more, ...describe(knob) });
  const show = (given, settled) => {
    const value = given ?? settled ?? knob.default;
    if (value !== null && value !== undefined) slider.value = value;
    slider.style.setProperty("--at", `${(100 * (slider.value - least)) / (most - least)}%`);
    field.placeholder = settled ?? knob.default ?? "";
    if (document.activeElement !== field) field.value = given ?? "";
  };
  const lock = (isLocked) => [slider, field].forEach((input) => (input.disabled = isLocked));
  return { element: h("div", { class: "slider" }, slider, field), field, show, lock, focus: () => slider.focus(), says: () => "" };
}

function makeField(knob) {
  const isNumber = knob.kind !== "text" && knob.name !== "seed";
  const set = () => setKnob(knob.name, field.value.trim() === "" ? undefined : isNumber ? Number(field.value) : field.value.trim());
  const limits = isNumber ? { min: knob.least, max: knob.most, step: "any" } : {};
  const field = h("input", { type: isNumber ? "number" : "text", id: `knob-${knob.name}`, autocomplete: "off", spellcheck: "false", ...limits, oninput: set, ...describe(knob) });
  const show = (given, settled) => {
    field.placeholder = settled ?? knob.default ?? knob.range;
    if (document.activeElement !== field) field.value = given ?? "";
  };
  return { element: field, field, show, focus: () => field.focus(), says: () => "" };
}

/** A seed, and a die to throw for another. */
export function makeSeed(knob) {
  const control = makeField(knob);
  control.field.inputMode = "numeric";
  const throwDie = () => setKnob(knob.name, String(crypto.getRandomValues(new Uint32Array(1))[0]));
  const die = iconButton("dice", "Throw the die: a seed at random", throwDie, { id: "die" });
  const show = (given) => {
    control.field.placeholder = "at random for each clip";
    if (document.activeElement !== control.field) control.field.value = given ?? "";
  };
  return { ...control, element: h("div", { class: "seed" }, control.field, die), show };
}
