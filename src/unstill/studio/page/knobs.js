// The panel of settings: which knobs are in front, which under "More", and what the plan and its problems say at each.

import { $, asSentence, h } from "./dom.js";
import { addSeconds, makeSize } from "./shape.js";
import { labelOf, makeControl, makeRow, makeSeed, makeSegments, makeSelect } from "./controls.js";
import { keep, kept, onKept } from "./kept.js";

const FRONT = ["preset", "want_motion", "motion", "camera", "frames", "size", "fit", "seed"];
const ELSEWHERE = ["focus"]; // is set on the picture
const GROUPS = { model: "Model", motion: "Motion", takes: "Search", sampling: "Sampling", picture: "Picture", machine: "Machine", file: "File" };
const WANTED = ["still", "subtle", "natural", "strong"];
const TOLD_MODEL = "pocket"; // whose camera can be told

const rows = new Map();
let plan = null;
let presets = [];

/** Build the panel from what the server says that there is. */
export function buildKnobs(told, models) {
  presets = told.presets;
  const known = new Map(told.data.map((knob) => [knob.name, knob]));
  const front = FRONT.filter((name) => known.has(name)).map((name) => makeKnob(known.get(name), models));
  const more = h("details", { id: "more-knobs", open: kept.isMoreOpen === true }, h("summary", {}, "More settings"));
  more.addEventListener("toggle", () => more.open !== kept.isMoreOpen && keep({ isMoreOpen: more.open }));
  for (const [group, title] of Object.entries(GROUPS)) {
    const others = told.data.filter((knob) => knob.group === group && !rows.has(knob.name) && !ELSEWHERE.includes(knob.name));
    if (others.length) more.append(h("fieldset", {}, h("legend", { text: title }), others.map((knob) => makeKnob(knob, models))));
  }
  const all = h("button", { type: "button", class: "quiet small", id: "reset-all", text: "Reset all", onclick: () => keep({ settings: {} }) });
  const top = h("div", { class: "knobs-top" }, h("h2", { text: "Settings" }), all);
  $("knobs").replaceChildren(top, ...front, more);
  onKept(showKnobs);
  showKnobs();
}

function makeKnob(knob, models) {
  const made = makeRow(knob, chooseControl(knob, models));
  rows.set(knob.name, made);
  return made.row;
}

function chooseControl(knob, models) {
  if (knob.name === "model") return makeSelect(knob, [["auto", "auto: the best that runs here"], ...models.map((model) => [model.id, nameModel(model)])]);
  if (knob.name === "want_motion") return makeSegments(knob, WANTED, { first: "any" });
  if (knob.name === "camera") return makeSegments(knob, knob.choices, { icons: "camera" });
  if (knob.name === "frames") return addSeconds(makeControl(knob), knob);
  if (knob.name === "size") return makeSize(knob);
  if (knob.name === "seed") return makeSeed(knob);
  return makeControl(knob);
}

const nameModel = (model) => `${model.id}${model.here ? "" : " (not fetched yet)"}: ${model.about}`;

/** Show the settings as they are, and what the plan makes of those that are open. */
function showKnobs() {
  const settled = plan?.knobs ?? {};
  rows.get("frames")?.control.setRate(plan);
  for (const [name, { show }] of rows) show(kept.settings[name], name === "size" ? plan?.clip_size : settled[name]);
  const model = plan?.model ?? kept.settings.model ?? "auto";
  const isTold = model === "auto" || model === TOLD_MODEL;
  if (rows.has("camera")) rows.get("camera").row.hidden = !isTold && kept.settings.camera === undefined;
  rows.get("motion")?.control.lock(kept.settings.want_motion !== undefined);
  const preset = presets.find((one) => one.name === (kept.settings.preset ?? "default"));
  if (preset && rows.has("preset")) rows.get("preset").row.querySelector(".help").textContent = asSentence(preset.help);
  $("reset-all").hidden = Object.keys(kept.settings).length === 0;
}

/** Show what a plan settles; null is no plan. */
export function showSettled(told) {
  plan = told;
  showKnobs();
}

/** Show each problem at the knob that it names; return those that name none. */
export function showProblemsAtKnobs(problems) {
  const left = new Set(problems);
  for (const [name, { complain, row }] of rows) {
    const own = problems.filter((text) => text.startsWith(`${name} `));
    own.forEach((text) => left.delete(text));
    complain(own.map((text) => text.replace(name, labelOf(name))).join("; "));
    const more = row.closest("details");
    if (own.length && more) more.open = true;
  }
  return [...left];
}

/** Leave out of a clip's knobs what is the default anyway. */
export function pickSettings(knobs, known) {
  const defaults = new Map(known.map((knob) => [knob.name, knob.default]));
  return Object.fromEntries(Object.entries(knobs).filter(([name, value]) => defaults.has(name) && String(defaults.get(name)) !== String(value)));
}
