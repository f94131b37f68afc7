// What was measured of a clip: what is wrong and what helps, and curves over its frames.

import { h, inWords, on, s, sayTime } from "./dom.js";

const WIDE = 320;
const TALL = 96;
const EDGE = 4;
const CHARTS = [
  { title: "Motion", unit: "px a frame", least: 0, names: { motion_px: "all", camera_px: "camera", objects_px: "things" } },
  { title: "Light", unit: "grey levels", names: { light_greys: "mean" } },
  { title: "Of the first frame", unit: "", names: { sharpness: "sharpness", saturation: "saturation", contrast: "contrast" } },
];

// Show a report; returns what moves the line that marks the frame in every chart.
export function showReport(place, report, seek) {
  const { verdicts = [], warnings = [], measures, frames } = report;
  const charts = CHARTS.map((chart) => drawChart(chart, measures?.curves ?? {}, frames, seek)).filter(Boolean);
  const said = verdicts.map((verdict) => `${verdict.text}: ${verdict.cure}`);
  const others = warnings.filter((text) => !said.includes(text));
  place.append(
    verdicts.length ? h("ul", { class: "verdicts" }, verdicts.map(showVerdict)) : h("p", { class: "fine", text: measures ? "Nothing wrong was found." : "It was not measured." }),
    h("ul", { class: "warnings" }, others.map((text) => h("li", { text: inWords(text) }))),
    ...charts.map((chart) => chart.element),
    showNumbers(report),
  );
  return (frame, count) => charts.forEach((chart) => chart.mark(frame / Math.max(1, count - 1)));
}

const showVerdict = (verdict) => h("li", {}, h("b", { text: verdict.name }), h("span", { text: verdict.text }), h("span", { class: "fine", text: inWords(verdict.cure) }));

function drawChart({ title, unit, least, names }, curves, frames, seek) {
  const lines = Object.entries(names).filter(([name]) => curves[name]?.length > 1).map(([name, word]) => ({ word, values: curves[name] }));
  if (!lines.length) return null;
  const [low, high] = findRange(lines.flatMap((line) => line.values), least);
  const y = (value) => TALL - EDGE - ((value - low) / (high - low)) * (TALL - 2 * EDGE);
  const spread = ({ values }) => `${round(Math.min(...values))} to ${round(Math.max(...values))}`;
  const label = `${title} ${unit}: ${lines.map((line) => `${line.word} from ${spread(line)}`).join("; ")}`;
  const drawing = s("svg", { class: "chart", viewBox: `0 0 ${WIDE} ${TALL}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  for (const value of [low, (low + high) / 2, high]) drawing.append(s("line", { x1: 0, x2: WIDE, y1: y(value), y2: y(value) }));
  lines.forEach(({ values }, number) => {
    const x = (place) => ((place + (frames - values.length) / 2) / Math.max(1, frames - 1)) * WIDE; // a curve of pairs lies between frames
    drawing.append(s("polyline", { class: `line-${number}`, points: values.map((value, place) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
  });
  const head = s("line", { class: "head", x1: 0, x2: 0, y1: 0, y2: TALL });
  drawing.append(head);
  on(drawing, "pointerdown", (event) => {
    const box = drawing.getBoundingClientRect();
    seek(Math.round(((event.clientX - box.left) / box.width) * (frames - 1)));
  });
  const legend = h("ul", { class: "legend", hidden: lines.length < 2 }, lines.map(({ word }, number) => h("li", { class: `line-${number}`, text: word })));
  const scale = h("div", { class: "scale", "aria-hidden": "true" }, h("span", { text: round(high) }), h("span", { text: round(low) }));
  const mark = (share) => ["x1", "x2"].forEach((end) => head.setAttribute(end, (share * WIDE).toFixed(1)));
  return { element: h("figure", {}, h("figcaption", {}, h("b", { text: title }), unit, legend), h("div", { class: "chart-box" }, scale, drawing)), mark };
}

// Leave room around what hardly changes, so that a flat line looks flat.
function findRange(values, least) {
  const [low, high] = [least ?? Math.min(...values), Math.max(...values)];
  const room = Math.max(0, Math.max(Math.abs(high) * 0.1, 0.1) - (high - low)) / 2;
  return [least ?? low - room, high + room];
}

const round = (value) => (Math.abs(value) >= 20 ? String(Math.round(value)) : value.toFixed(Math.abs(value) < 2 ? 2 : 1));

function showNumbers({ stages_s = {}, measures, tried = [] }) {
  const numbers = Object.entries(measures ?? {}).filter(([, value]) => value !== null && typeof value !== "object");
  const rows = [...Object.entries(stages_s).map(([stage, seconds]) => [stage, sayTime(seconds)]), ...numbers.map(([name, value]) => [name.replaceAll("_", " "), value])];
  const tries = tried.map((one) => h("li", { text: `${one.kind}: motion ${one.motion}, seed ${one.seed}, ${one.motion_px.toFixed(1)} px a frame ${one.faults.join(", ")}` }));
  return h("details", {}, h("summary", { text: "All numbers" }), h("ol", { class: "fine" }, tries), listPairs(rows));
}

export const listPairs = (pairs) => h("dl", {}, pairs.flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: String(value) })]));
