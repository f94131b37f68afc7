// Talks to the server: every route once, and what it says when something is wrong.

export class Refused extends Error {
  constructor(status, told) {
    super(told.message || `The server answered ${status}`);
    Object.assign(this, { status, hint: told.hint, problems: told.problems ?? [] });
  }
}

export class Gone extends Error {
  constructor() {
    super("The server does not answer");
  }
}

let onLocked = () => {};
let onReach = () => {};

// Say whom to tell that a key is needed, and whether the server could be reached.
export function listen(locked, reach) {
  onLocked = locked;
  onReach = reach;
}

async function ask(method, path, { json, form, headers = {} } = {}) {
  const body = json === undefined ? form : JSON.stringify(json);
  if (json !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, body, headers });
  } catch {
    onReach(false);
    throw new Gone();
  }
  onReach(true);
  if (answer.status === 204) return null;
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  if (answer.status === 401) onLocked();
  throw new Refused(answer.status, told.error || {});
}

const get = (path) => ask("GET", path);
const post = (path, json) => ask("POST", path, { json });

export const knobs = () => get("/v1/knobs");
export const models = () => get("/v1/models");
export const session = () => get("/v1/session");
export const open = (key) => post("/v1/session", { key });
export const plan = (json) => post("/v1/plan", json);
export const create = (json, key) => ask("POST", "/v1/videos", { json, headers: { "idempotency-key": key } });
export const queue = () => get("/v1/queue");
export const video = (id) => get(`/v1/videos/${id}`);
export const videos = (query) => get(`/v1/videos?${new URLSearchParams(query)}`);
export const report = (id) => get(`/v1/videos/${id}/report`);
export const cancel = (id) => post(`/v1/videos/${id}/cancel`);
export const retry = (id) => post(`/v1/videos/${id}/retry`);
export const remove = (id) => ask("DELETE", `/v1/videos/${id}`);
export const move = (id, before) => post(`/v1/videos/${id}/move`, { before });
export const lastFrame = (id) => post("/v1/pictures", { last_frame_of: id });

// Send a picture; the server decodes it, and says what it is.
export function sendPicture(file) {
  const form = new FormData();
  form.append("picture", file, file.name || "picture");
  return ask("POST", "/v1/pictures", { form });
}

export const pictureAt = (id, variant = "display") => `/v1/pictures/${id}?variant=${variant}`;
export const thumbnailOf = (video) => `/v1/videos/${video.id}/content?variant=thumbnail`;
export const previewOf = (video) => `/v1/videos/${video.id}/preview?n=${video.preview}`;
export const contentOf = (video, format = "") => `/v1/videos/${video.id}/content${format ? `?format=${format}` : ""}`;
