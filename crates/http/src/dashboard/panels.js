// What a node tells of itself, in words and numbers.

import { bytes, clock, delay, duration, fillTable, find, keep, make, number, write } from "./elements.js";

const sum = (items, value) => items.reduce((total, item) => total + value(item), 0);
const words = (name) => name.replaceAll("_", " ");
const isUp = (member) => ["own", "alive"].includes(member.state);
const unread = (report) => report.requests.lagRecords + report.jobs.lagRecords;

export function showTiles({ status }, last = {}) {
  const tiles = [
    ["jobs/s", number(last.rate ?? 0)],
    ["queue delay", delay(last.delay_ms ?? 0)],
    ["warm actors", `${last.warm ?? 0} of ${last.actors ?? 0}`],
    ["in progress", number(sum(status.pools, (pool) => pool.jobs))],
    ["unread records", number(status.requests.lagRecords + status.jobs.lagRecords)],
    ["translated", number(sum(status.pools, (pool) => pool.translated))],
    ["failed", number(sum(status.pools, (pool) => pool.failed))],
  ];
  const create = () => {
    const tile = make("div");
    tile.append(make("dt"), make("dd"));
    return tile;
  };
  keep(find("tiles"), tiles, ([name]) => name, create, (tile, [name, value]) => {
    write(tile.firstChild, name);
    write(tile.lastChild, value);
  });
}

/** Translated so far and when, of each node's last two reports. */
const reports = new Map();

function rate(member) {
  const report = member.report;
  const now = { at: report.uptimeMs, translated: sum(report.pools, (pool) => pool.translated) };
  const known = reports.get(member.node);
  const known_at = known?.now.at ?? Infinity;
  if (now.at < known_at || known.incarnation !== member.incarnation) reports.set(member.node, { now, incarnation: member.incarnation, rate: 0 });
  // Reports come once a second, and at once when an actor changes: too short a time tells nothing.
  else if (now.at - known_at >= 900) {
    const seconds = (now.at - known_at) / 1000;
    reports.set(member.node, { now, incarnation: member.incarnation, rate: (now.translated - known.now.translated) / seconds });
  }
  return reports.get(member.node).rate;
}

const STATES = { own: "this node", alive: "alive", suspect: "suspect", down: "down", left: "left", unreached: "unreached" };
const told = (text) => (cell, member) => write(cell, member.report ? text(member.report, member) : "–");
const CLUSTER = [
  ["node", "", (cell, member) => write(cell, member.node)],
  ["state", "text", (cell, member) => {
    const draining = member.report?.draining && isUp(member);
    cell.firstChild ?? cell.append(make("span"));
    cell.firstChild.className = `state ${draining ? "suspect" : member.state}`;
    write(cell.firstChild, draining ? "draining" : STATES[member.state]);
  }],
  ["actors", "", told((report) => `${sum(report.pools, (pool) => pool.warm)} of ${sum(report.pools, (pool) => pool.wanted)}`)],
  ["jobs/s", "", told((report, member) => number(rate(member)))],
  ["delay", "", told((report) => delay(Math.max(0, ...report.pools.map((pool) => pool.delayMs))))],
  ["queued", "wide", told((report) => number(sum(report.pools, (pool) => pool.backlogSegments)))],
  ["unread", "wide", told((report) => number(unread(report)))],
  ["memory", "wide", told((report) => bytes(report.memoryBytes))],
  ["load", "wide", told((report) => `${report.load.toFixed(1)} (${report.cores} cores)`)],
  ["uptime", "wide", told((report) => duration(report.uptimeMs))],
  ["link", "wide", (cell, member) => write(cell, member.state === "own" ? "–" : `${member.linked ? "up" : "down"} ${duration(member.sinceMs)}`)],
];

export function showCluster({ cluster }) {
  find("cluster").hidden = !cluster;
  if (!cluster) return;
  const up = cluster.members.filter(isUp);
  write(find("cluster-sum"), `${up.length} of ${cluster.members.length} nodes up`);
  fillTable(find("members"), CLUSTER, cluster.members, (member) => member.node);
  const reports = up.flatMap(({ report }) => report ?? []);
  const pools = reports.flatMap((report) => report.pools);
  const peers = cluster.members.filter((member) => member.state !== "own" && member.state !== "left");
  const totals = [
    `${number(sum(up.filter((member) => member.report), rate))} jobs/s`,
    `${sum(pools, (pool) => pool.warm)} warm actors of ${sum(pools, (pool) => pool.wanted)}`,
    `${number(sum(pools, (pool) => pool.backlogSegments))} segments queued`,
    `${number(sum(reports, unread))} records unread`,
    `${bytes(sum(reports, (report) => report.memoryBytes))} of memory`,
    `${peers.filter((member) => member.linked).length} of ${peers.length} links up`,
  ];
  write(find("cluster-totals"), totals.join(" · "));
  keep(find("warnings"), cluster.warnings, (text) => text, (text) => make("li", "", text), () => {});
}

/** The most urgent first. */
const ORDER = ["interactive", "normal", "any"];
/** The lane "any" of the wire format. */
const LANE_NAMES = { any: "bulk" };
const LANES = [
  ["lane", "", (cell, [name]) => write(cell, LANE_NAMES[name] ?? name)],
  ["segments", "", (cell, [, lane]) => write(cell, number(lane.segments))],
  ["tokens", "", (cell, [, lane]) => write(cell, number(lane.tokens))],
  ["oldest", "", (cell, [, lane]) => write(cell, delay(lane.oldestMs))],
];

function createPool() {
  const box = make("article", "pool");
  const about = make("div", "about");
  about.append(make("h3"), make("p", "size"), make("p", "why"), make("p", "lost"));
  const lanes = make("table", "lanes");
  lanes.append(make("caption", "hidden", "queue"));
  const actors = make("ul", "actors");
  box.append(about, lanes, actors);
  return box;
}

function showPool(box, pool) {
  const part = (name) => box.querySelector(name);
  write(part("h3"), pool.modelId);
  const help = pool.guests.length ? `, and ${pool.guests.length} borrowed from other nodes` : "";
  write(part(".size"), `${pool.engine}: ${pool.actors.length} ${pool.actors.length === 1 ? "actor" : "actors"}, ${pool.wanted} wanted (${pool.bounds.join(" to ")})${help}`);
  const { decision, loans, held } = pool;
  const why = [
    decision && `${pool.policy}: ${words(decision.reason.kind)}`,
    decision?.unmet_actors && `${decision.unmet_actors} more actors do not fit on this node`,
    loans.inFlight && `running ${loans.inFlight} batches for other nodes`,
    held.targets.length && `paused: ${held.targets.join(", ")}`,
  ];
  write(part(".why"), why.filter(Boolean).join("; "));
  write(part(".lost"), pool.failing ? `failing: ${pool.failing}` : "");
  fillTable(part(".lanes"), LANES, ORDER.map((name) => [name, pool.lanes[name]]), ([name]) => name);
  const create = () => {
    const line = make("li");
    line.append(make("b"), make("span", "phase"), make("span"));
    return line;
  };
  keep(part(".actors"), [...pool.actors, ...pool.guests], (actor) => actor.name, create, (line, actor) => {
    line.className = actor.phase;
    line.title = [actor.name, actor.pid && `process ${actor.pid}`, actor.numeric].filter(Boolean).join(", ");
    const [name, phase, work] = line.children;
    write(name, actor.node ?? actor.name.slice(actor.name.lastIndexOf("/") + 1));
    write(phase, actor.phase);
    write(work, `${number(actor.batches)} batches${actor.residentBytes ? `, ${bytes(actor.residentBytes)}` : ""}`);
  });
}

export function showPools({ status }) {
  keep(find("pools"), status.pools, (pool) => pool.modelId, createPool, showPool);
}

const source = (text) => (cell, [, source]) => write(cell, text(source));
const KAFKA = [
  ["source", "", (cell, [name]) => write(cell, name)],
  ["partitions", "", source((source) => source.partitions)],
  ["state", "", source((source) => (source.paused ? "paused" : source.gateClosed ? "back-pressure" : "reading"))],
  ["unread", "", source((source) => number(source.lagRecords))],
  ["oldest", "", source((source) => delay(source.oldestAgeMs))],
  ["published", "wide", source(({ delivery }) => number(delivery.published))],
  ["committed", "wide", source(({ delivery }) => number(delivery.transactionsCommitted))],
  ["aborted", "wide", source(({ delivery }) => number(delivery.transactionsAborted))],
  ["dead letters", "wide", source(({ deadLetters }) => number(sum(Object.values(deadLetters), (count) => count)))],
];

export function showKafka({ status }) {
  write(find("kafka-sum"), `${status.bootstrap}, ${status.delivery}`);
  fillTable(find("kafka"), KAFKA, [["requests", status.requests], ["jobs", status.jobs]], ([name]) => name);
}

/** What the node remembers, and the Redis that it shares. */
export function showCache({ status: { cache } }) {
  find("cache").hidden = !cache;
  if (!cache) return;
  write(find("remembered"), `${number(cache.entries)} sentences, ${bytes(cache.bytes)} of ${bytes(cache.maxBytes)}`);
  const { shared } = cache;
  const state = shared?.reachable ? "Redis is reachable" : "Redis is unreachable";
  write(find("shared"), shared ? `${state}: ${number(shared.found)} hits, ${number(shared.missed)} misses, ${number(shared.failed)} errors` : "not shared with other nodes");
}

const KINDS = { scaling: "scaled", actor: "actor", failure: "failure", intake: "intake", cluster: "cluster" };

/** The newest events, the last one first. */
export function showEvents(events, most) {
  const only = find("failures").checked;
  const shown = events.filter((event) => !only || event.kind === "failure").slice(-most).reverse();
  write(find("none"), shown.length ? "" : only ? "No failures." : "No events yet.");
  keep(find("events"), shown, (event) => event.number, (event) => {
    const line = make("li", event.kind);
    const time = make("time", "", clock(event.at_ms));
    time.dateTime = new Date(event.at_ms).toISOString();
    const text = event.text.startsWith(event.pool) ? event.text : `${event.pool} ${event.text}`;
    line.append(time, make("b", "", KINDS[event.kind]), make("span", "", text));
    return line;
  }, () => {});
}
