// Rate, delay, lag and actors over the last minutes, one below the other on one time axis, with what happened marked.

import { clock, delay, find, make, number, write } from "./elements.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 92, TOP = 12, BOTTOM = 4, LEFT = 50, RIGHT = 8, AXIS = 18;

const PLOTS = [
  { title: "jobs/s", value: (sample) => sample.rate, text: number, least: 1 },
  { title: "queue delay", value: (sample) => sample.delay_ms, text: delay, least: 100 },
  { title: "unread records", value: (sample) => sample.lag ?? 0, text: number, least: 10 },
  { title: "model actors", value: (sample) => sample.actors, area: (sample) => sample.warm, text: number, least: 2, steps: true },
];
const MARKS = { up: "scaled up", down: "scaled down", bad: "failure" };

let drawn = { samples: [], events: [] };
/** The time that is pointed at. */
let pointed = null;

const figures = PLOTS.map((plot, i) => {
  const figure = make("figure");
  const caption = make("figcaption");
  const now = make("span", "now");
  caption.append(make("span", "", plot.title), now);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("height", HEIGHT + (i === PLOTS.length - 1 ? AXIS : 0));
  figure.append(caption, svg);
  return { figure, now, svg };
});

/** Shows the plots in an element, and whatever is pointed at in it. */
export function startPlots(box) {
  box.append(...figures.map(({ figure }) => figure));
  new ResizeObserver(() => redraw()).observe(box);
  box.addEventListener("pointermove", (event) => {
    const { left, width } = figures[0].svg.getBoundingClientRect();
    const share = (event.clientX - left - LEFT) / (width - LEFT - RIGHT);
    const { begin, end } = span(drawn.samples);
    pointed = share >= 0 && share <= 1 ? begin + share * (end - begin) : null;
    redraw();
  });
  box.addEventListener("pointerleave", () => {
    pointed = null;
    redraw();
  });
}

export function drawPlots(samples, events) {
  drawn = { samples, events };
  redraw();
}

function span(samples) {
  const end = samples.length ? samples[samples.length - 1].at_ms : Date.now();
  return { end, begin: samples.length ? Math.min(samples[0].at_ms, end - 60000) : end - 60000 };
}

function mark(event) {
  if (event.kind === "failure") return "bad";
  if (!event.change) return null;
  return event.change[1] > event.change[0] ? "up" : "down";
}

function redraw() {
  const { samples, events } = drawn;
  const { begin, end } = span(samples);
  const marks = events.filter((event) => event.at_ms >= begin && event.at_ms <= end && mark(event));
  const at = pointed === null ? samples[samples.length - 1] : nearest(samples, pointed);
  PLOTS.forEach((plot, i) => draw(plot, figures[i], { samples, marks, begin, end, at, last: i === PLOTS.length - 1 }));
  const near = pointed === null ? [] : marks.filter((event) => Math.abs(event.at_ms - pointed) < (end - begin) / 100);
  write(find("pointed"), near.length ? `${clock(near[0].at_ms)} ${near[0].pool} ${near[0].text}` : "");
}

function nearest(samples, time) {
  return samples.reduce((best, sample) => (Math.abs(sample.at_ms - time) < Math.abs(best.at_ms - time) ? sample : best), samples[0]);
}

/** The least round number that is not below a value; half of it is round too. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
}

function draw(plot, { now, svg }, { samples, marks, begin, end, at, last }) {
  const width = svg.clientWidth;
  if (width <= LEFT + RIGHT) return;
  const values = samples.map(plot.value);
  const highest = Math.max(0, ...values);
  const top = roundUp(Math.max(plot.least, highest));
  write(now, at ? `${plot.text(plot.value(at))}${pointed === null ? "" : ` at ${clock(at.at_ms)}`}` : "");
  svg.setAttribute("aria-label", `${plot.title}: now ${plot.text(values[values.length - 1] ?? 0)}, most ${plot.text(highest)}, ${marks.length} events`);
  const x = (time) => LEFT + ((time - begin) / (end - begin)) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const parts = [];
  const add = (tag, name, attributes, text) => {
    const element = document.createElementNS(SVG, tag);
    if (name) element.setAttribute("class", name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    parts.push(element);
    return element;
  };
  for (const value of [0, top / 2, top]) {
    add("line", "grid", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) });
    add("text", "y", { x: LEFT - 6, y: y(value) + 3.5 }, plot.text(value));
  }
  const step = [10, 15, 30, 60, 120].map((s) => s * 1000).find((ms) => (end - begin) / ms <= width / 90) ?? 120000;
  for (let tick = Math.ceil(begin / step) * step; tick <= end; tick += step) {
    add("line", "grid", { x1: x(tick), x2: x(tick), y1: TOP, y2: HEIGHT - BOTTOM });
    if (last && x(tick) < width - 30) add("text", "x", { x: x(tick), y: HEIGHT + AXIS - 5 }, clock(tick, step < 60000));
  }
  for (const event of marks) {
    const name = mark(event);
    const [at, up] = [x(event.at_ms), name === "up"];
    add("line", name, { x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM });
    const points = { up: [at - 4, 10, at + 4, 10, at, 3], down: [at - 4, 3, at + 4, 3, at, 10], bad: [at - 3, 3, at + 3, 3, at + 3, 9, at - 3, 9] }[name];
    const sign = add("polygon", `sign ${name}`, { points: points.join(" ") });
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${clock(event.at_ms)} ${MARKS[name]}: ${event.pool} ${event.text}`;
    sign.append(title);
  }
  if (samples.length) {
    const line = (value) => samples.flatMap((sample, i) => {
      const point = `${x(sample.at_ms).toFixed(1)},${y(value(sample)).toFixed(1)}`;
      return plot.steps && i ? [`${x(sample.at_ms).toFixed(1)},${y(value(samples[i - 1])).toFixed(1)}`, point] : [point];
    }).join(" ");
    const area = line(plot.area ?? plot.value);
    add("polygon", "area", { points: `${x(samples[0].at_ms).toFixed(1)},${y(0)} ${area} ${x(end).toFixed(1)},${y(0)}` });
    add("polyline", "curve", { points: line(plot.value) });
  }
  if (pointed !== null && at) {
    add("line", "pointer", { x1: x(at.at_ms), x2: x(at.at_ms), y1: TOP, y2: HEIGHT - BOTTOM });
    add("circle", "pointer", { cx: x(at.at_ms), cy: y(plot.value(at)), r: 3 });
  }
  svg.replaceChildren(...parts);
}
