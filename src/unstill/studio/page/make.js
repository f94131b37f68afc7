// The view where clips are asked for: it joins pictures, settings and plan, and sends what is wanted.

import * as api from "./api.js";
import { $, on, plural } from "./dom.js";
import { showCrop, showPicture } from "./crop.js";
import { currentPicture, keep, kept, onKept } from "./kept.js";
import { showProblemsAtKnobs, showSettled } from "./knobs.js";
import { refresh } from "./live.js";
import { arrive, takePictures } from "./pictures.js";
import { fieldsFor, makePlanner, showPlan } from "./plan.js";
import { showProblems, tellProgress } from "./say.js";

const LOOK_AGAIN_MS = 3000;
let isSending = false;
let planSoon = () => {};

// Put the view together; what was not sent when the page was closed is sent now.
export function mountMake() {
  takePictures();
  planSoon = makePlanner(show);
  onKept((changes) => {
    showPicture();
    showRun();
    if (["pictures", "current", "settings"].some((name) => name in changes)) {
      if (currentPicture() !== null) $("plan").classList.add("old");
      planSoon();
    }
  });
  on($("settings"), "submit", (event) => {
    event.preventDefault();
    run();
  });
  showPicture();
  showRun();
  planSoon();
  send();
}

function show(plan, fault) {
  $("plan").classList.remove("old");
  showPlan($("plan"), plan);
  if (fault === null) { // else what was settled last stays in view
    showSettled(plan);
    showCrop(plan?.crop ?? null);
  }
  showFault(fault instanceof api.Refused ? fault : null);
}

// Show what is wrong at the knobs that it names, and the rest above the button.
function showFault(fault) {
  const left = showProblemsAtKnobs(fault?.problems ?? []);
  const isRest = fault !== null && (left.length > 0 || fault.problems.length === 0);
  showProblems($("make-errors"), isRest ? fault.message : "", fault?.hint, left);
}

function showRun() {
  const count = kept.pictures.length;
  $("run").textContent = isSending ? "Sending…" : count > 1 ? `Make ${count} clips` : "Make the clip";
}

async function run() {
  if (isSending) return;
  await arrive();
  if (kept.pictures.length === 0) {
    showProblems($("make-errors"), "There is no picture yet", "Drop one on the page, paste one, or choose one");
    $("choose").focus();
    return;
  }
  const orders = kept.pictures.map((picture) => ({
    key: crypto.randomUUID?.() ?? String(Math.random()),
    body: { input_reference: { file_id: picture.id }, ...fieldsFor(picture), ...(picture.name ? { title: picture.name } : {}) },
  }));
  keep({ outbox: [...kept.outbox, ...orders] });
  showProblems($("make-errors"));
  await send();
}

// Send what waits to be sent. Each order has a key of its own: however often it is sent, it is one clip.
export async function send() {
  if (isSending || kept.outbox.length === 0) return;
  isSending = true;
  showRun();
  const made = [];
  try {
    while (kept.outbox.length > 0) {
      const [order, ...others] = kept.outbox;
      made.push(await api.create(order.body, order.key));
      keep({ outbox: others });
    }
  } catch (fault) {
    explain(fault);
  } finally {
    isSending = false;
    showRun();
  }
  await refresh();
  if (made.length > 0) announce(made);
}

function announce(made) {
  tellProgress(`${plural(made.length, "clip")} asked for`);
  const isHere = !$("make").hidden;
  if (made.length === 1 && isHere) location.hash = `#/clip/${made[0].id}`;
  else if (isHere) $("queue-title").focus();
}

// Say why an order was not taken; one that did not reach the server is kept and sent again.
function explain(fault) {
  if (fault instanceof api.Gone) {
    setTimeout(send, LOOK_AGAIN_MS);
    showProblems($("make-errors"), "The server does not answer. What you asked for is kept, and sent as soon as it does.");
    return;
  }
  if (fault.status === 401) return;
  keep({ outbox: [] });
  showFault(fault);
}
