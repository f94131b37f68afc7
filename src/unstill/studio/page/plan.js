// Asks what would be made, again whenever settings change, and shows the answer. It draws no knobs.

import * as api from "./api.js";
import { $, h, inWords, sayBytes, sayTime, settleDown } from "./dom.js";
import { currentPicture, kept } from "./kept.js";

const WAIT_MS = 250;
const PATIENCE_MS = 3000; // then asked again, where the server was busy or gone
let asked = 0; // the number of the last question: answers to others come too late
let isAsking = false; // one at a time, as the server answers them one after another

export const fieldsFor = (picture) => ({ ...kept.settings, ...(picture.focus ? { focus: picture.focus } : {}) });

// Ask soon; `show` gets the plan or what is wrong, and never an answer to an older question.
export function makePlanner(show) {
  const ask = async () => {
    const picture = currentPicture();
    const number = (asked += 1);
    if (picture === null) return show(null, null);
    if (isAsking) return undefined;
    isAsking = true;
    try {
      const plan = await api.plan({ picture: picture.id, ...fieldsFor(picture) });
      if (number === asked) show(plan, null);
    } catch (fault) {
      if (number === asked) show(null, fault);
      if (fault instanceof api.Gone || fault.status >= 429) setTimeout(() => number === asked && ask(), PATIENCE_MS);
    } finally {
      isAsking = false;
      if (number !== asked) ask();
    }
    return undefined;
  };
  return settleDown(WAIT_MS, ask);
}

export function showPlan(place, plan) {
  const lists = plan === null ? [] : [["warnings", plan.warnings], ["notes", plan.notes]].filter(([, texts]) => texts.length);
  $("expect").replaceChildren(...lists.map(([name, texts]) => h("ul", { class: name }, texts.map((text) => h("li", { text: inWords(text) })))));
  if (plan === null) return place.replaceChildren();
  const time = plan.about_s === null ? "time not known yet" : `ready in about ${sayTime(plan.about_s)}`;
  const needs = plan.needs_bytes ? `${sayBytes(plan.needs_bytes)}${plan.has_bytes ? ` of ${sayBytes(plan.has_bytes)}` : ""}` : "";
  const how = [plan.model, `on ${plan.device}`, plan.dtype, needs && `memory ${plan.memory}: ${needs}`];
  return place.replaceChildren(
    h("p", { class: "plan-what" }, h("b", { text: plan.clip_size.replace("x", " × ") }), ` · ${plan.frames} frames · ${sayTime(plan.seconds)} of film`),
    h("p", {}, h("b", { text: time }), ` · ${how.filter(Boolean).join(" · ")}`),
  );
}
