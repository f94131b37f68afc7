// What the page remembers between two visits: pictures, settings, what is not sent yet. Jobs are the server's.

const NAME = "unstill.studio";
const FRESH = { pictures: [], current: null, settings: {}, isMoreOpen: false, isLooping: true, outbox: [] };

function read() {
  try {
    return { ...FRESH, ...JSON.parse(localStorage.getItem(NAME) || "{}") };
  } catch {
    return { ...FRESH };
  }
}

function write(name, text) {
  try {
    localStorage.setItem(name, text);
  } catch {
    /* forbidden or full: it lasts until the page is closed */
  }
}

export const kept = read();
const listeners = new Set();

export function keep(changes) {
  Object.assign(kept, changes);
  write(NAME, JSON.stringify(kept));
  for (const listener of listeners) listener(changes);
}

// Remember the colours that were chosen, where theme.js finds them.
export const keepTheme = (theme) => write("unstill.theme", theme);

export const onKept = (listener) => listeners.add(listener);

// Set one knob; undefined leaves it to the preset or the model.
export function setKnob(name, value) {
  const settings = { ...kept.settings };
  if (value === undefined || value === "") delete settings[name];
  else settings[name] = value;
  keep({ settings });
}

export const currentPicture = () => kept.pictures.find((picture) => picture.id === kept.current) ?? null;

// Put a picture into the tray, and on the stage.
export function addPicture(added) {
  keep({ pictures: [...kept.pictures.filter((picture) => picture.id !== added.id), added], current: added.id });
}

export function dropPicture(id) {
  const place = kept.pictures.findIndex((picture) => picture.id === id);
  const pictures = kept.pictures.filter((picture) => picture.id !== id);
  const next = pictures[Math.min(place, pictures.length - 1)]?.id ?? null;
  keep({ pictures, current: kept.current === id ? next : kept.current });
}

export function changePicture(id, changes) {
  keep({ pictures: kept.pictures.map((picture) => (picture.id === id ? { ...picture, ...changes } : picture)) });
}

export function beginWith(picture, settings) {
  const { focus, ...others } = settings;
  keep({ pictures: [{ ...picture, focus }], current: picture.id, settings: others });
}
