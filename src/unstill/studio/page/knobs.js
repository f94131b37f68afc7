// The panel of settings, with what the plan and its problems say at each.

import { addSeconds, labelOf, makeControl, makeRow, makeSegments } from "./controls.js";
import { $, asSentence, h, on } from "./dom.js";
import { keep, kept, onKept } from "./kept.js";

const FRONT = ["preset", "want_motion", "motion", "camera", "frames", "size", "fit", "seed"];
const ELSEWHERE = ["focus"]; // is set on the picture
const GROUPS = ["model", "motion", "takes", "sampling", "picture", "machine", "file"];
const WANTED = ["still", "subtle", "natural", "strong"];
const TOLD = ["auto", "pocket"]; // models that have the next knobs
const STEERS = ["camera", "scene", "move"];

const rows = new Map();
let plan = null;
let presets = [];

export function buildKnobs(told, models) {
  presets = told.presets;
  const make = (knob) => {
    rows.set(knob.name, makeRow(knob, chooseControl(knob, models)));
    return rows.get(knob.name).row;
  };
  const front = FRONT.map((name) => make(told.data.find((knob) => knob.name === name)));
  const more = h("details", { id: "more-knobs", class: "knob", open: kept.isMoreOpen }, h("summary", { text: "More settings" }));
  on(more, "toggle", () => more.open !== kept.isMoreOpen && keep({ isMoreOpen: more.open }));
  for (const group of GROUPS) {
    const others = told.data.filter((knob) => knob.group === group && !rows.has(knob.name) && !ELSEWHERE.includes(knob.name));
    if (others.length) more.append(h("fieldset", {}, h("legend", { text: labelOf(group) }), others.map(make)));
  }
  const all = h("button", { class: "quiet", id: "reset-all", text: "Reset all", onclick: () => keep({ settings: {} }) });
  $("knobs").replaceChildren(h("div", { class: "knobs-top" }, h("h2", { text: "Settings" }), all), ...front, more);
  onKept(showKnobs);
  showKnobs();
}

function chooseControl(knob, models) {
  if (knob.name === "want_motion") return makeSegments(knob, WANTED, { first: "any" });
  if (knob.name === "camera") return makeSegments(knob, knob.choices, { icons: "camera" });
  const control = makeControl(knob, models);
  return knob.name === "frames" ? addSeconds(control, knob) : control;
}

// Show settings, and what the plan makes of open ones.
function showKnobs() {
  const { settings } = kept;
  rows.get("frames").control.setRate(plan);
  for (const [name, { show }] of rows) show(settings[name], name === "size" ? plan?.clip_size : plan?.knobs[name]);
  const isTold = TOLD.includes(plan?.model ?? settings.model ?? "auto");
  for (const name of STEERS) rows.get(name).row.hidden = !isTold && settings[name] === undefined;
  rows.get("motion").control.lock(settings.want_motion !== undefined);
  const preset = presets.find((one) => one.name === (settings.preset ?? "default"));
  if (preset) rows.get("preset").row.querySelector(".help").textContent = asSentence(preset.help);
  $("reset-all").hidden = Object.keys(settings).length === 0;
}

export function showSettled(told) {
  plan = told;
  showKnobs();
}

// Show each problem at the knob that it names; return those that name none.
export function showProblemsAtKnobs(problems) {
  const left = new Set(problems);
  for (const [name, { complain, row }] of rows) {
    const own = problems.filter((text) => text.startsWith(`${name} `));
    own.forEach((text) => left.delete(text));
    complain(own.map((text) => text.replace(name, labelOf(name))).join("; "));
    const more = row.parentElement.closest("details");
    if (own.length && more) more.open = true;
  }
  return [...left];
}

// Drop what is the default anyway.
export function pickSettings(knobs, known) {
  const defaults = new Map(known.map((knob) => [knob.name, String(knob.default)]));
  return Object.fromEntries(Object.entries(knobs).filter(([name, value]) => defaults.has(name) && defaults.get(name) !== String(value)));
}
