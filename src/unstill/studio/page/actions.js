// What can be done with a finished clip. It draws buttons, and asks before what cannot be undone.

import * as api from "./api.js";
import { asSentence, h, icon, nameOf, textButton } from "./dom.js";
import { beginWith } from "./kept.js";
import { pickSettings } from "./knobs.js";
import { refresh } from "./live.js";
import { attempt, confirm, say, showDialog } from "./say.js";

export const FORMATS = ["mp4", "webm", "gif", "webp", "apng"];
let known = []; // the knobs that there are

export const knowKnobs = (told) => (known = told);

// Make the same clip again, or nearly: its picture, its settings, its seed.
export function useAgain(video) {
  const settings = pickSettings({ ...video.knobs, ...(video.seed === null ? {} : { seed: video.seed }) }, known);
  beginWith({ id: video.picture, name: video.title }, settings);
  location.hash = "#/";
  say("Its picture and settings are chosen again. Throw the die for another clip of them.");
}

export async function goOn(video) {
  const picture = await attempt(() => api.lastFrame(video.id));
  if (!picture) return;
  const { seed, focus, ...settings } = pickSettings(video.knobs, known);
  const { id, width, height } = picture;
  beginWith({ id, width, height, name: `${video.title || "A clip"}, on` }, settings);
  location.hash = "#/";
  say("The last frame is the picture now.");
}

export async function remove(video) {
  const isMeant = await confirm("Delete this clip?", `${nameOf(video)} and its file are gone then, for good.`, "Delete");
  if (!isMeant) return false;
  const done = await attempt(() => api.remove(video.id));
  if (done) {
    document.dispatchEvent(new CustomEvent("clip-deleted", { detail: video.id }));
    say(`${nameOf(video)} is deleted.`);
    await refresh();
  }
  return Boolean(done);
}

// Give the buttons and links for a clip; `before` runs ahead of each that leads away.
export function makeActions(video, before = () => {}) {
  const then = (work) => () => {
    before();
    work(video);
  };
  const formats = FORMATS.map((format) => h("a", { class: "format", href: api.contentOf(video, format), download: true, text: format.toUpperCase() }));
  return [
    h("div", { class: "actions" }, textButton("again", "Use these settings again", then(useAgain)), textButton("after", "Go on from the last frame", then(goOn)), textButton("bin", "Delete", then(remove), "quiet bad")),
    h("div", { class: "formats", role: "group", "aria-label": "Download as" }, h("span", {}, icon("save"), "Download"), formats),
  ];
}

export function showMenu(video) {
  const dialog = showDialog(nameOf(video), h("p", { class: "moves", text: asSentence(video.moves) }));
  const open = h("a", { class: "quiet button", href: `#/clip/${video.id}`, onclick: () => dialog.close() }, icon("play"), h("span", { text: "Open" }));
  const [actions, formats] = makeActions(video, () => dialog.close());
  actions.prepend(open);
  dialog.append(actions, formats);
  open.focus();
}
