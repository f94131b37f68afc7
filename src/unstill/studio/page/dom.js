// Elements made by script, and numbers as people read them. It knows no clips.

import { LINES } from "./icons.js";

const PROPERTIES = { value: 1, checked: 1, disabled: 1, muted: 1, loop: 1, hidden: 1 };
const SVG = "http://www.w3.org/2000/svg";

// Make an element: `on…` are listeners, `class`, `text` and properties go where they belong, the rest are attributes.
export function h(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  if (tag === "button") made.type = "button";
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) on(made, name.slice(2), value);
    else if (name === "text") made.textContent = value;
    else if (name in PROPERTIES) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function s(tag, given = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function icon(name) {
  return s("svg", { class: `i ${name}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: LINES[name] }));
}

// Make a button with an icon and a name that is read aloud.
export function iconButton(name, label, onclick, more = {}) {
  return h("button", { class: "quiet icon", "aria-label": label, title: label, onclick, ...more }, icon(name));
}

export function textButton(name, text, onclick, kind = "quiet", more = {}) {
  return h("button", { class: kind, onclick, ...more }, icon(name), h("span", { text }));
}

export const on = (target, kind, act, how) => target.addEventListener(kind, act, how);
export const $ = (id) => document.getElementById(id);

// Let a list show these items: what stays is kept, so that focus and loaded pictures are.
export function showList(parent, items, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.id, child]));
  const focused = document.activeElement;
  items.forEach((item, place) => {
    const child = old.get(item.id) ?? make(item);
    old.delete(item.id);
    child.dataset.id = item.id;
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
    update?.(child, item, place);
  });
  for (const child of old.values()) child.remove();
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus(); // moving an element loses it
}

// Wait until calls have stopped for so long, then make the last of them.
export function settleDown(wait_ms, call) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), wait_ms);
  };
}

export const sayBytes = (count) => (count < 1e6 ? `${Math.ceil(count / 1e3)} KB` : count < 1e9 ? `${(count / 1e6).toFixed(1)} MB` : `${(count / 1e9).toFixed(1)} GB`);

export function sayTime(seconds) {
  if (seconds < 90) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function sayDate(seconds) {
  const date = new Date(seconds * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return isToday ? `today, ${time}` : date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });
}

// Say a sentence that was meant for a terminal: options become the names of settings here.
export const inWords = (text) => text.replace(/--([a-z][a-z-]*)/g, (_, name) => `“${name.replaceAll("-", " ")}”`).replaceAll("`", "");

// Begin with a capital, and end with a full stop.
export const asSentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.` : "");

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

// Name a clip: its title, else when it was asked for.
export const nameOf = (video) => video.title || `Clip of ${sayDate(video.created_at)}`;

