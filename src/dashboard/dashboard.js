"use strict";
// Shows what the node tells over a WebSocket once a second. Texts go into the page as text, never as markup.

const find = (id) => document.getElementById(id);
const make = (tag, text, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
};
const SVG = "http://www.w3.org/2000/svg";
const KEPT = 600, EVENTS = 200;
let samples = [], events = [], newest = -1;

const number = (value) => Number(value).toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
const mebibytes = (bytes) => `${number(bytes / 1048576)} MiB`;
const delay = (ms) => (ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000)} s`);

function tiles(status) {
  const last = samples[samples.length - 1] || {};
  const sum = (value) => status.pools.reduce((total, pool) => total + value(pool), 0);
  const shown = [
    ["translations a second", number(last.rate || 0)],
    ["queue delay", delay(last.delay_ms || 0)],
    ["warm actors", `${last.warm || 0} of ${last.actors || 0}`],
    ["jobs in work", number(sum((pool) => pool.jobs))],
    ["translated", number(sum((pool) => pool.translated))],
    ["failed", number(sum((pool) => pool.failed))],
    ["unread records", number(status.requests.lagRecords + status.jobs.lagRecords)],
  ];
  find("tiles").replaceChildren(...shown.map(([name, value]) => {
    const tile = make("div", undefined, "tile");
    tile.append(make("b", value), make("span", name));
    return tile;
  }));
}

function plot(title, value, text) {
  const figure = make("figure");
  const caption = make("figcaption");
  const values = samples.map(value);
  const most = Math.max(1, ...values);
  caption.append(make("span", title), make("span", `now ${text(values[values.length - 1] || 0)}, most ${text(Math.max(0, ...values))}`));
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 600 120");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", caption.textContent);
  const end = samples.length ? samples[samples.length - 1].at_ms : Date.now();
  const begin = samples.length ? Math.min(samples[0].at_ms, end - 60000) : end - 60000;
  const x = (at) => ((at - begin) / (end - begin)) * 600;
  const draw = (tag, attributes) => {
    const element = document.createElementNS(SVG, tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    svg.append(element);
  };
  for (const event of events) {
    if (event.at_ms < begin || (event.kind !== "scaling" && event.kind !== "failure")) continue;
    const [from, to] = event.text.split(":")[0].split(" → ").map(Number);
    const name = event.kind === "failure" ? "bad" : to > from ? "up" : "down";
    draw("line", { x1: x(event.at_ms), x2: x(event.at_ms), y1: 0, y2: 120, class: name });
  }
  if (samples.length) {
    const points = samples.map((sample, i) => `${x(sample.at_ms).toFixed(1)},${(116 - (values[i] / most) * 108).toFixed(1)}`);
    draw("polygon", { points: `${x(samples[0].at_ms)},120 ${points.join(" ")} 600,120` });
    draw("polyline", { points: points.join(" ") });
  }
  figure.append(caption, svg);
  return figure;
}

function pools(status) {
  find("pools").replaceChildren(...status.pools.map((pool) => {
    const box = make("div", undefined, "pool");
    box.append(make("h3", `${pool.modelId} on ${pool.engine}`));
    const lanes = Object.entries(pool.lanes).map(([name, lane]) => `${name} ${number(lane.segments)}`).join(", ");
    const reason = pool.decision ? `; last decision: ${pool.decision.reason.kind.replaceAll("_", " ")}` : "";
    box.append(make("p", `${pool.actors.length} actors, ${pool.wanted} wanted (${pool.bounds[0]} to ${pool.bounds[1]})${reason}`));
    box.append(make("p", `waiting segments: ${lanes}`));
    if (pool.failing) box.append(make("p", `failing: ${pool.failing}`, "lost"));
    const list = make("ul", undefined, "actors");
    for (const actor of pool.actors) {
      const memory = actor.residentBytes ? `, ${mebibytes(actor.residentBytes)}` : "";
      list.append(make("li", `${actor.name}: ${actor.phase}, ${number(actor.batches)} batches${memory}`, actor.phase));
    }
    box.append(list);
    return box;
  }));
}

function kafka(status) {
  const head = ["", "partitions", "reading", "unread", "oldest", "published", "committed", "aborted", "dead letters"];
  const row = (name, source) => {
    const letters = Object.values(source.deadLetters).reduce((total, count) => total + count, 0);
    const reading = source.paused ? "paused" : source.gateClosed ? "waits" : "yes";
    const delivery = source.delivery;
    const cells = [name, source.partitions, reading, number(source.lagRecords), delay(source.oldestAgeMs), number(delivery.published),
      number(delivery.transactionsCommitted), number(delivery.transactionsAborted), number(letters)];
    const row = make("tr");
    row.append(...cells.map((cell) => make("td", cell)));
    return row;
  };
  const top = make("tr");
  top.append(...head.map((name) => make("th", name)));
  find("kafka").replaceChildren(top, row("requests", status.requests), row("jobs", status.jobs));
}

function list(added) {
  const box = find("events");
  for (const event of added) {
    const line = make("li", undefined, event.kind);
    line.append(make("time", new Date(event.at_ms).toLocaleTimeString()), event.text.startsWith(event.pool) ? event.text : `${event.pool} ${event.text}`);
    box.prepend(line);
  }
  while (box.children.length > EVENTS) box.lastChild.remove();
}

function show(frame) {
  samples = samples.concat(frame.samples).slice(-KEPT);
  const added = frame.events.filter((event) => event.number > newest);
  if (added.length) newest = added[added.length - 1].number;
  events = events.concat(added).slice(-EVENTS);
  list(added);
  const status = frame.status;
  if (!status) return;
  find("node").textContent = `${status.node}, version ${status.version}`;
  tiles(status);
  find("plots").replaceChildren(
    plot("translations a second", (sample) => sample.rate, number),
    plot("queue delay", (sample) => sample.delay_ms, delay),
    plot("model actors", (sample) => sample.actors, number),
  );
  pools(status);
  kafka(status);
}

function connect(wait) {
  const state = find("state");
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}${location.pathname}live/feed`);
  socket.onopen = () => {
    [samples, events, newest] = [[], [], -1];
    find("events").replaceChildren();
    state.textContent = "live";
    state.className = "";
    wait = 500;
  };
  socket.onmessage = (message) => show(JSON.parse(message.data));
  socket.onclose = () => {
    state.textContent = "not connected, trying again";
    state.className = "lost";
    setTimeout(() => connect(Math.min(wait * 2, 10000)), wait);
  };
}

async function languages() {
  const known = await (await fetch("languages")).json();
  const option = (language) => new Option(language.name, language.code);
  const written = new Set(known.flatMap((language) => language.targets.filter((target) => target !== language.code)));
  find("from").append(...known.filter((l) => l.targets.some((target) => target !== l.code)).map(option));
  find("to").append(...known.filter((l) => written.has(l.code)).map(option));
  if (written.has("fr")) find("to").value = "fr";
  const settings = await (await fetch("frontend/settings")).json();
  find("key-label").hidden = !settings.keyRequired;
}

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const started = performance.now();
  const answer = find("answer");
  answer.className = "";
  answer.textContent = "…";
  try {
    const body = { q: find("text").value, source: find("from").value, target: find("to").value, api_key: find("key").value };
    const response = await fetch("translate", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const json = await response.json();
    answer.className = response.ok ? "" : "error";
    answer.textContent = response.ok ? json.translatedText : json.error;
  } catch (error) {
    answer.className = "error";
    answer.textContent = "the node does not answer";
  }
  find("took").textContent = `${Math.round(performance.now() - started)} ms`;
});
find("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find("form").requestSubmit();
});
find("failures").addEventListener("change", (event) => find("events").classList.toggle("only", event.target.checked));
languages().catch(() => {});
connect(500);
