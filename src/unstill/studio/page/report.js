// What was measured of a clip: what is wrong and what helps, and curves over its frames. It plays nothing.

import { h, inWords, s, sayTime } from "./dom.js";

const WIDE = 320;
const TALL = 96;
const CHARTS = [
  { title: "Motion", unit: "px a frame", least: 0, curves: { motion_px: "all", camera_px: "camera", objects_px: "things" } },
  { title: "Light", unit: "grey levels", curves: { light_greys: "mean" } },
  { title: "Of the first frame", unit: "", curves: { sharpness: "sharpness", saturation: "saturation", contrast: "contrast" } },
];

/** Show a report; returns what moves the line that marks the frame in every chart. */
export function showReport(place, report, seek) {
  const verdicts = report.verdicts ?? [];
  const curves = report.measures?.curves ?? {};
  const charts = CHARTS.map((chart) => drawChart(chart, curves, report.frames, seek)).filter(Boolean);
  const said = new Set(verdicts.map((verdict) => `${verdict.text}: ${verdict.cure}`));
  const warnings = (report.warnings ?? []).filter((text) => !said.has(text));
  place.replaceChildren(
    h("h2", { text: "Report" }),
    verdicts.length ? h("ul", { class: "verdicts" }, verdicts.map(showVerdict)) : h("p", { class: "fine", text: report.measures ? "Nothing wrong was found." : "It was not measured." }),
    ...(warnings.length ? [h("ul", { class: "warnings" }, warnings.map((text) => h("li", { text: inWords(text) })))] : []),
    h("div", { class: "charts" }, charts.map((chart) => chart.element)),
    showDetails(report),
  );
  return (frame, count) => charts.forEach((chart) => chart.mark(count > 1 ? frame / (count - 1) : 0));
}

const showVerdict = (verdict) => h("li", {}, h("b", { text: verdict.name }), h("span", { text: verdict.text }), h("span", { class: "cure", text: inWords(verdict.cure) }));

function drawChart({ title, unit, least, curves: names }, curves, frames, seek) {
  const lines = Object.entries(names).filter(([name]) => curves[name]?.length > 1);
  if (!lines.length) return null;
  const values = lines.flatMap(([name]) => curves[name]);
  const [low, high] = range(values, least);
  const x = (place, count) => ((place + (frames - count) / 2) / Math.max(1, frames - 1)) * WIDE; // a curve of pairs lies between frames
  const y = (value) => TALL - 4 - ((value - low) / (high - low)) * (TALL - 8);
  const head = s("line", { class: "head", x1: 0, x2: 0, y1: 0, y2: TALL });
  const drawing = s("svg", { class: "chart", viewBox: `0 0 ${WIDE} ${TALL}`, preserveAspectRatio: "none", role: "img", "aria-label": describe(title, unit, lines, curves) });
  for (const share of [0, 0.5, 1]) drawing.append(s("line", { class: "grid", x1: 0, x2: WIDE, y1: 4 + share * (TALL - 8), y2: 4 + share * (TALL - 8) }));
  lines.forEach(([name], number) => {
    const points = curves[name].map((value, place) => `${x(place, curves[name].length).toFixed(1)},${y(value).toFixed(1)}`);
    drawing.append(s("polyline", { class: `line line-${number}`, points: points.join(" ") }));
  });
  drawing.append(head);
  drawing.addEventListener("pointerdown", (event) => {
    const box = drawing.getBoundingClientRect();
    seek(Math.round(((event.clientX - box.left) / box.width) * (frames - 1)));
  });
  const legend = h("ul", { class: "legend" }, lines.map(([name, word], number) => h("li", { class: `line-${number}`, text: names[name] ?? word })));
  const scale = h("p", { class: "scale", "aria-hidden": "true" }, h("span", { text: round(high) }), h("span", { text: round(low) }));
  const caption = h("figcaption", {}, h("b", { text: title }), unit ? ` ${unit}` : "", lines.length > 1 ? legend : null);
  const mark = (share) => ["x1", "x2"].forEach((end) => head.setAttribute(end, (share * WIDE).toFixed(1)));
  return { element: h("figure", {}, caption, h("div", { class: "chart-box" }, scale, drawing)), mark };
}

/** Leave room around what hardly changes, so that a flat line looks flat. */
function range(values, least) {
  const [low, high] = [least ?? Math.min(...values), Math.max(...values)];
  const room = Math.max(0, Math.max(Math.abs(high) * 0.1, 0.1) - (high - low)) / 2;
  return [least ?? low - room, high + room];
}

const round = (value) => (Math.abs(value) >= 20 ? String(Math.round(value)) : value.toFixed(Math.abs(value) < 2 ? 2 : 1));

function describe(title, unit, lines, curves) {
  const parts = lines.map(([name, word]) => `${word} from ${round(Math.min(...curves[name]))} to ${round(Math.max(...curves[name]))}`);
  return `${title}${unit ? `, ${unit}` : ""}: ${parts.join("; ")}`;
}

function showDetails(report) {
  const rows = Object.entries(report.stages_s ?? {}).map(([stage, seconds]) => [stage, sayTime(seconds)]);
  for (const [name, value] of Object.entries(report.measures ?? {})) {
    if (value !== null && typeof value !== "object") rows.push([name.replaceAll("_", " "), String(value)]);
  }
  const list = h("dl", {}, rows.flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: value })]));
  const tried = report.tried ?? [];
  const tries = tried.length ? h("ol", { class: "tried" }, tried.map((one) => h("li", { text: `${one.kind}: motion ${one.motion}, seed ${one.seed}, ${one.motion_px.toFixed(1)} px a frame${one.faults.length ? `, ${one.faults.join(", ")}` : ""}` }))) : null;
  return h("details", {}, h("summary", { text: "All numbers" }), tries, list);
}
