// The jobs as they are now: one stream of events, polled where that breaks. It draws nothing.

import * as api from "./api.js";
import { on, settleDown } from "./dom.js";

const POLL_MS = 2000;
const LATELY = 24;
const KINDS = ["queued", "running", "progress", "cancelling", "moved", "completed", "failed", "cancelled", "deleted"];

export const jobs = { queue: [], lately: [], isKnown: false };
const listeners = new Set();
let stream = null;
let isOpen = false;

// Be told when the jobs change: with the event, or null when all of them were read anew.
export const onJobs = (listener) => listeners.add(listener);
const tell = (event) => listeners.forEach((listener) => listener(event));

// Begin to follow the server; it goes on until the page is closed.
export function follow() {
  connect();
  setInterval(() => isOpen || refresh(), POLL_MS);
  on(window, "visibilitychange", () => document.hidden || refresh());
  return refresh();
}

export const findJob = (id) => [...jobs.queue, ...jobs.lately].find((video) => video.id === id) ?? null;

export async function refresh() {
  try {
    const [queue, lately] = await Promise.all([api.queue(), api.videos({ limit: LATELY })]);
    Object.assign(jobs, { queue: queue.data, lately: lately.data, isKnown: true });
    if (stream === null) connect();
    tell(null);
  } catch (fault) {
    if (!(fault instanceof api.Gone) && fault.status !== 401) throw fault;
  }
}

const refreshSoon = settleDown(120, refresh);

function connect() {
  stream?.close();
  stream = new EventSource("/v1/events?after=latest");
  stream.onopen = () => {
    isOpen = true;
    refreshSoon(); // whatever happened meanwhile
  };
  stream.onerror = () => {
    isOpen = false;
    if (stream?.readyState === EventSource.CLOSED) stream = null; // refused: the next look that works opens another
  };
  for (const kind of KINDS) on(stream, kind, hear);
}

function hear(message) {
  const event = JSON.parse(message.data);
  const job = findJob(event.video);
  if (event.kind === "progress" && job !== null) {
    if (event.stage) job.stage = event.stage;
    if (event.progress !== undefined) job.progress = Math.floor(100 * event.progress);
    if (event.preview !== undefined) job.preview = event.preview;
    tell(event);
    return;
  }
  refreshSoon();
  tell(event);
}
