// Starts the page: who may come in, what there is, and which view the address names.

import * as api from "./api.js";
import { knowKnobs } from "./actions.js";
import { mountClip, openClip } from "./clip.js";
import { $, icon, on } from "./dom.js";
import { mountGallery, openGallery } from "./gallery.js";
import { buildKnobs } from "./knobs.js";
import { keepTheme } from "./kept.js";
import { follow, refresh } from "./live.js";
import { mountMake, send } from "./make.js";
import { mountQueue } from "./queue.js";
import { say, sayFault } from "./say.js";

const LOOK_AGAIN_MS = 2000;
let isStarted = false;
let isLocked = false;
let isGone = false;

api.listen(lock, (isThere) => {
  if (isThere === !isGone) return;
  isGone = !isThere;
  $("gone").hidden = isThere;
  $("gone").firstElementChild.textContent = "The server does not answer. Nothing is lost, and this page goes on by itself when it is back.";
  if (isThere) say("The server is back.");
});

// Go in, as soon as the server is there and lets us.
async function start() {
  try {
    const session = await api.session();
    if (session.needs_key && !session.is_open) return lock();
    const [knobs, models] = await Promise.all([api.knobs(), api.models()]);
    if (!isStarted) mount(knobs, models.data);
  } catch (fault) {
    if (fault.status === 401) return undefined;
    if (!(fault instanceof api.Gone)) sayFault(fault);
    setTimeout(start, LOOK_AGAIN_MS);
  }
  return undefined;
}

function mount(knobs, models) {
  isStarted = true;
  knowKnobs(knobs.data);
  buildKnobs(knobs, models);
  mountMake();
  mountQueue();
  mountClip();
  mountGallery();
  on(window, "hashchange", () => route(true));
  route(false);
  follow();
}

function route(isMove) {
  if (isLocked) return;
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const id = /^\/clip\/([\w-]+)$/.exec(path)?.[1] ?? null;
  const view = id ? "clip" : path === "/gallery" ? "gallery" : "make";
  openGallery(view === "gallery" ? (new URLSearchParams(query).get("q") ?? "") : null);
  show(view);
  openClip(id);
  if (!isMove) return;
  if (view !== "gallery") scrollTo(0, 0);
  $(`${view}-title`)?.focus({ preventScroll: true });
}

function show(view) {
  for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== view;
  for (const link of document.querySelectorAll("nav a")) {
    link.ariaCurrent = link.dataset.view === view ? "page" : null;
  }
}

function lock() {
  if (isLocked) return;
  isLocked = true;
  show("key");
  $("key-input").focus();
}

on($("key-form"), "submit", async (event) => {
  event.preventDefault();
  $("key-error").textContent = "";
  try {
    isLocked = true;
    await api.open($("key-input").value);
    isLocked = false;
    $("key-input").value = "";
    if (!isStarted) return void start();
    route(true);
    await refresh();
    send();
  } catch (fault) {
    $("key-error").textContent = fault.status === 401 ? "That is not the key." : fault.message;
    $("key-input").select();
  }
});

on(document.querySelector(".skip"), "click", (event) => {
  event.preventDefault();
  $("main").focus();
});

const system = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

function showTheme() {
  $("theme").ariaLabel = $("theme").title = `Switch to ${isDark() ? "light" : "dark"} colours`;
}

on($("theme"), "click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  keepTheme(root.dataset.theme);
  showTheme();
});

on(system, "change", showTheme);
$("theme").append(icon("theme"));
$("add").prepend(icon("plus"));
showTheme();
start();
