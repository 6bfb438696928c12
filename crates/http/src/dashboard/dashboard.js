// Shows what the node tells over a WebSocket once a second.

import { showDetails, watchModels } from "./details.js";
import { duration, find, write } from "./elements.js";
import { watchMetrics } from "./metrics.js";
import { showCommands, startOperating } from "./operate.js";
import { showCache, showCluster, showEvents, showKafka, showPools, showTiles } from "./panels.js";
import { drawPlots, startPlots } from "./plots.js";
import { startTranslations } from "./translate.js";

/** Seconds that are plotted, events that are kept, and events that are listed. */
const SAMPLES = 600, EVENTS = 1000, LISTED = 200;
/** A node that has told nothing for so long, in milliseconds, is not believed to be connected. */
const SILENCE = 10000;
let samples = [], events = [];

function say(state, text) {
  find("state").className = `state ${state}`;
  write(find("state"), text);
  document.body.classList.toggle("stale", state === "down");
}

function show(frame) {
  const newest = events.length ? events[events.length - 1].number : -1;
  samples = samples.concat(frame.samples).slice(-SAMPLES);
  events = events.concat(frame.events.filter((event) => event.number > newest)).slice(-EVENTS);
  showEvents(events, LISTED);
  drawPlots(samples, events);
  const look = frame.look;
  if (!look) return;
  const { status, readiness } = look;
  document.title = `${status.node} · babelmesh`;
  write(find("node"), status.node);
  write(find("about"), `version ${status.version}, uptime ${duration(status.uptimeMs)}`);
  if (readiness.ready) say("alive", "live, ready");
  else say("suspect", `not ready: ${readiness.missing.join(", ")}`);
  showTiles(look, samples[samples.length - 1]);
  showCluster(look);
  showPools(look);
  showKafka(look);
  showCache(look);
  showCommands(look);
}

function connect(wait) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}${location.pathname}live/feed`);
  let silent;
  const heard = () => {
    clearTimeout(silent);
    silent = setTimeout(() => socket.close(), SILENCE);
  };
  heard();
  socket.onopen = () => {
    // What the node tells first is all there was.
    [samples, events, wait] = [[], [], 500];
    find("events").replaceChildren();
  };
  socket.onmessage = (message) => {
    heard();
    show(JSON.parse(message.data));
  };
  socket.onclose = () => {
    clearTimeout(silent);
    say("down", "disconnected, reconnecting");
    setTimeout(() => connect(Math.min(wait * 2, 5000)), wait);
  };
}

startPlots(find("plots"));
startTranslations();
find("failures").addEventListener("change", () => showEvents(events, LISTED));
watchMetrics(showDetails);
watchModels();
startOperating().catch(() => {});
connect(500);
