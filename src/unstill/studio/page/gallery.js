// All finished clips, the newest first, found by words. It asks for a page at a time.

import * as api from "./api.js";
import { showMenu } from "./actions.js";
import { $, asSentence, h, iconButton, nameOf, on, sayDate, settleDown, showList } from "./dom.js";
import { jobs, onJobs } from "./live.js";

const PAGE = 24;
const TYPING_MS = 250;
let words = "";
let clips = [];
let hasMore = false;
let asked = 0;
let isOpen = false;
let scrolled = 0;

export function mountGallery() {
  const find = () => {
    history.replaceState(null, "", `#/gallery${$("q").value ? `?q=${encodeURIComponent($("q").value)}` : ""}`);
    search($("q").value);
  };
  on($("q"), "input", settleDown(TYPING_MS, find));
  on($("search"), "submit", (event) => event.preventDefault());
  on($("more"), "click", () => load());
  new IntersectionObserver(([more]) => more.isIntersecting && isOpen && hasMore && load(), { rootMargin: "400px" }).observe($("more"));
  onJobs((event) => {
    if (isOpen && event === null && isOld()) renew();
  });
  on(document, "clip-deleted", (event) => {
    clips = clips.filter((clip) => clip.id !== event.detail);
    show();
  });
}

// Show the gallery with these words in the search; null leaves it, and remembers where one was.
export async function openGallery(text) {
  if (text === null) {
    if (isOpen) scrolled = scrollY;
    isOpen = false;
    return;
  }
  isOpen = true;
  $("q").value = text;
  if (text !== words || clips.length === 0) await search(text);
  else await renew();
  scrollTo(0, scrolled);
}

async function search(text) {
  words = text;
  clips = [];
  await load();
}

const ask = (more) => api.videos({ state: "completed", limit: PAGE, ...(words ? { q: words } : {}), ...more });

async function load() {
  const number = (asked += 1);
  const after = clips.at(-1)?.id;
  try {
    const page = await ask(after ? { after } : {});
    if (number !== asked) return;
    clips = [...clips, ...page.data];
    hasMore = page.has_more;
    show();
  } catch (fault) {
    if (number === asked) $("gallery-empty").replaceChildren(h("p", { text: fault.message }));
  }
}

function isOld() {
  if (words) return false;
  const done = jobs.lately.filter((video) => video.state === "completed").map((video) => video.id);
  return done.some((id, place) => clips[place]?.id !== id);
}

// Look for newer clips, and keep the pages that were read.
async function renew() {
  const number = (asked += 1);
  const page = await ask({}).catch(() => null);
  if (page === null || number !== asked) return;
  const ids = new Set(page.data.map((clip) => clip.id));
  const older = page.has_more ? clips.filter((clip) => !ids.has(clip.id) && clip.created_at <= page.data.at(-1).created_at) : [];
  clips = [...page.data, ...older];
  if (older.length === 0) hasMore = page.has_more;
  show();
}

function show() {
  showList($("cards"), clips, makeCard);
  $("more").hidden = !hasMore;
  const empty = $("gallery-empty");
  empty.hidden = clips.length > 0;
  if (clips.length > 0) return;
  const title = words ? `Nothing is called, or was made with, “${words}”.` : "No clip has been made yet.";
  const help = words ? "Words of a title, a model or a setting are looked for." : "Give it a picture; what comes of it is kept here.";
  const way = words ? h("a", { class: "button quiet", href: "#/gallery", text: "Show all" }) : h("a", { class: "button primary", href: "#/", text: "Make a clip" });
  empty.replaceChildren(h("h2", { text: title }), h("p", { text: help }), way);
}

function makeCard(clip) {
  const [width, height] = clip.size.split("x").map(Number);
  const image = h("img", { src: api.thumbnailOf(clip), alt: "", loading: "lazy", width, height });
  const text = h("span", { class: "card-text" }, h("b", { text: nameOf(clip) }), h("span", { text: asSentence(clip.moves) || sayDate(clip.created_at) }));
  const link = h("a", { href: `#/clip/${clip.id}` }, image, text);
  const card = h("li", { class: "card" }, link, iconButton("dots", `What to do with ${nameOf(clip)}`, () => showMenu(clip)));
  card.style.setProperty("--ratio", width && height ? width / height : 16 / 9);
  return card;
}
