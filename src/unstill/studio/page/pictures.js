// How pictures come in: dropped, pasted, chosen; and the tray of those that are here. It knows no settings.

import * as api from "./api.js";
import { $, h, icon, on, showList } from "./dom.js";
import { addPictures, currentPicture, dropPicture, keep, kept, onKept } from "./kept.js";
import { showProblems } from "./say.js";

const AT_ONCE = 2; // more wait at the server anyway
let coming = 0; // pictures on their way

export function takePictures() {
  for (const button of [$("choose"), $("add")]) on(button, "click", () => $("files").click());
  on($("files"), "change", () => {
    bring([...$("files").files]);
    $("files").value = "";
  });
  on(window, "paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) bring(files);
  });
  takeDrops();
  onKept(showTray);
  showTray();
}

function takeDrops() {
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  on(window, "dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  on(window, "dragleave", (event) => {
    if (event.relatedTarget === null) $("drop").hidden = true;
  });
  on(window, "drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    $("drop").hidden = true;
    bring([...event.dataTransfer.files]);
  });
}

// Send files to the server; each that is a picture comes into the tray, the others are named with the reason.
export async function bring(files) {
  if (!files.length) return;
  location.hash = "#/";
  showProblems($("picture-errors"));
  const added = [];
  const faults = [];
  const waiting = [...files];
  coming += files.length;
  showTray();
  const work = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      await bringOne(file, added, faults);
      coming -= 1;
      showTray();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (faults.length) showProblems($("picture-errors"), faults[0].text, faults[0].hint, faults.map((fault) => fault.text));
  if (added.length) document.activeElement === document.body && $("make-title").focus({ preventScroll: true });
}

async function bringOne(file, added, faults) {
  const name = (file.name || "").replace(/\.[^.]*$/, "");
  try {
    const { id, width, height } = await api.sendPicture(file);
    added.push(id);
    addPictures([{ id, width, height, name }]);
  } catch (fault) {
    faults.push({ text: `${file.name || "The picture"}: ${fault.message}`, hint: fault.hint });
  }
}

function showTray() {
  const hasSome = kept.pictures.length > 0 || coming > 0;
  $("welcome").hidden = hasSome;
  $("add").hidden = !hasSome;
  $("framing").hidden = !hasSome;
  const items = kept.pictures.length > 1 || coming ? [...kept.pictures] : kept.pictures.slice(0, 1);
  for (let number = 0; number < coming; number += 1) items.push({ id: `coming-${number}`, isComing: true });
  showList($("tray"), items, makeThumbnail, markThumbnail);
}

function makeThumbnail(picture) {
  if (picture.isComing) return h("li", { class: "thumb coming" }, h("span", { class: "unseen", text: "A picture is being read" }));
  const choose = h("button", { type: "button", class: "thumb-choose", onclick: () => keep({ current: picture.id }) });
  choose.append(h("img", { src: api.pictureAt(picture.id, "thumbnail"), alt: picture.name || "A picture", onerror: () => forget(picture) }));
  const remove = () => {
    dropPicture(picture.id);
    ($("tray").querySelector("[aria-current] button, button") ?? $("choose")).focus();
  };
  const label = `Take ${picture.name || "this picture"} away`;
  const away = h("button", { type: "button", class: "thumb-away", "aria-label": label, title: label, onclick: remove }, icon("close"));
  return h("li", { class: "thumb" }, choose, away);
}

function markThumbnail(element, picture) {
  if (picture.id === currentPicture()?.id) element.setAttribute("aria-current", "true");
  else element.removeAttribute("aria-current");
}

// A picture that the server has no longer is of no use here; one that it cannot give now may come back.
async function forget(picture) {
  const answer = await fetch(api.pictureAt(picture.id, "thumbnail")).catch(() => null);
  if (answer?.status === 404) dropPicture(picture.id);
}
