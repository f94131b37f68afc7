// What the page says beside its views: short notes, questions, and progress for those who listen.

import { $, h, iconButton, on } from "./dom.js";

const STAYS_MS = 7000;

export function say(text) {
  const note = h("div", { class: "toast" }, h("span", { text }));
  note.append(iconButton("close", "Dismiss", () => note.remove()));
  $("toasts").append(note);
  setTimeout(() => note.remove(), STAYS_MS);
}

export const sayFault = (fault) => say([fault.message, fault.hint].filter(Boolean).join(" — "));

// Do something that may be refused, and say so if it is.
export async function attempt(work) {
  try {
    return await work();
  } catch (fault) {
    sayFault(fault);
    return undefined;
  }
}

let lastSaid = "";

// Tell those who listen how far it is, in words that do not repeat.
export function tellProgress(text) {
  if (text === lastSaid) return;
  lastSaid = text;
  $("progress-said").textContent = text;
}

// Show a dialog that holds the focus, and gives it back when it closes.
export function showDialog(title, ...content) {
  const before = document.activeElement;
  const close = () => dialog.close();
  const heading = h("div", { class: "dialog-top" }, h("h2", { id: "dialog-title", text: title }), iconButton("close", "Close", close));
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" }, heading, ...content);
  on(dialog, "click", (event) => event.target === dialog && close());
  on(dialog, "close", () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
    else $("main").focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Ask whether something should be done; the safe answer has the focus.
export function confirm(title, text, word) {
  return new Promise((done) => {
    let answer = false;
    const no = h("button", { class: "quiet", text: "Keep it", autofocus: true, onclick: () => dialog.close() });
    const yes = h("button", { class: "primary bad", text: word, onclick: () => ((answer = true), dialog.close()) });
    const dialog = showDialog(title, h("p", { text }), h("div", { class: "dialog-row" }, no, yes));
    on(dialog, "close", () => done(answer));
  });
}

export function showProblems(place, message = "", hint = "", problems = []) {
  place.replaceChildren();
  if (!message) return;
  const list = problems.length > 1 ? h("ul", {}, problems.map((text) => h("li", { text }))) : h("p", { text: problems[0] || message });
  place.append(h("div", { class: "problems" }, list, hint ? h("p", { class: "fine", text: hint }) : null));
}
