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

export const kept = read();
const listeners = new Set();

// Change what is kept, write it down, and tell whoever shows it.
export function keep(changes) {
  Object.assign(kept, changes);
  try {
    localStorage.setItem(NAME, JSON.stringify(kept));
  } catch {
    /* forbidden or full: it lasts until the page is closed */
  }
  for (const listener of listeners) listener(changes);
}

// Remember the colours that were chosen, where theme.js finds them.
export function keepTheme(theme) {
  try {
    localStorage.setItem("unstill.theme", theme);
  } catch {
    /* they last as long as the page */
  }
}

export const onKept = (listener) => listeners.add(listener);

// Set one knob; undefined leaves it to the preset or the model.
export function setKnob(name, value) {
  const settings = { ...kept.settings };
  if (value === undefined || value === "") delete settings[name];
  else settings[name] = value;
  keep({ settings });
}

export const currentPicture = () => kept.pictures.find((picture) => picture.id === kept.current) ?? null;

// Put pictures into the tray, and the last of them on the stage.
export function addPictures(added) {
  const others = kept.pictures.filter((picture) => !added.some((one) => one.id === picture.id));
  keep({ pictures: [...others, ...added], current: added.at(-1).id });
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
