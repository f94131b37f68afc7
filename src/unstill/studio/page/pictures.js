// How pictures come in: dropped, pasted, chosen; and the tray of those that are here.

import * as api from "./api.js";
import { $, h, iconButton, on, showList } from "./dom.js";
import { addPicture, dropPicture, keep, kept, onKept } from "./kept.js";
import { showProblems } from "./say.js";

const MOST_BYTES = 32 * 2 ** 20;
let coming = 0; // pictures on their way
let arrival = Promise.resolve();

export const arrive = () => arrival;

export function takePictures() {
  for (const button of [$("choose"), $("add")]) on(button, "click", () => $("files").click());
  on($("files"), "change", () => {
    bring([...$("files").files]);
    $("files").value = "";
  });
  on(window, "paste", (event) => bring([...event.clipboardData.files]));
  takeDrops();
  onKept(showTray);
  showTray();
}

function takeDrops() {
  const take = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    $("drop").hidden = event.type === "drop";
    if (event.type === "drop") bring([...event.dataTransfer.files]);
  };
  on(window, "dragover", take);
  on(window, "drop", take);
  on(window, "dragleave", (event) => event.relatedTarget ?? ($("drop").hidden = true));
}

function bring(files) {
  if (files.length) arrival = Promise.all([arrival, bringAll(files)]);
}

// Send files to the server; each that is a picture comes into the tray, the others are named with the reason.
async function bringAll(files) {
  location.hash = "#/";
  showProblems($("picture-errors"));
  const faults = [];
  coming += files.length;
  showTray();
  for (const file of files) {
    try {
      if (file.size > MOST_BYTES) throw new Error("it is larger than 32 MB");
      const { id, width, height } = await api.sendPicture(file);
      addPicture({ id, width, height, name: file.name.replace(/\.[^.]*$/, "") });
    } catch (fault) {
      faults.push(`${file.name}: ${fault.message}`);
      showProblems($("picture-errors"), faults[0], fault.hint, faults);
    }
    coming -= 1;
    showTray();
  }
  if (document.activeElement === document.body) $("make-title").focus({ preventScroll: true }); // the button is gone
}

function showTray() {
  const hasSome = kept.pictures.length > 0 || coming > 0;
  $("welcome").hidden = hasSome;
  $("add").hidden = !hasSome;
  $("framing").hidden = !hasSome;
  const waiting = Array.from({ length: coming }, (_, number) => ({ id: `coming-${number}`, isComing: true }));
  showList($("tray"), [...kept.pictures, ...waiting], makeThumbnail, markThumbnail);
}

function makeThumbnail(picture) {
  if (picture.isComing) return h("li", { class: "thumb coming" }, h("span", { class: "unseen", text: "A picture is being read" }));
  const choose = h("button", { class: "thumb-choose", onclick: () => keep({ current: picture.id }) });
  choose.append(h("img", { src: api.pictureAt(picture.id, "thumbnail"), alt: picture.name || "A picture", onerror: () => forget(picture) }));
  const remove = () => {
    dropPicture(picture.id);
    ($("tray").querySelector("[aria-current=true] button, button") ?? $("choose")).focus();
  };
  return h("li", { class: "thumb" }, choose, iconButton("close", `Take ${picture.name || "this picture"} away`, remove));
}

const markThumbnail = (element, picture) => element.ariaCurrent = picture.id === kept.current;

// A picture that the server has no longer is of no use here; one that it cannot give now may come back.
async function forget(picture) {
  const answer = await fetch(api.pictureAt(picture.id, "thumbnail")).catch(() => null);
  if (answer?.status === 404) dropPicture(picture.id);
}
