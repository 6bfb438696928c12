// Tables of what is derived from metrics, and of models.

import { delay, fillTable, find, number, write } from "./elements.js";

const time = (ms) => (ms === null ? "–" : delay(ms));
const cell = (text) => (element, item) => write(element, text(item));
const LATENCY = [
  ["last minute", "", cell(([name]) => name)],
  ["p50", "", cell(([, times]) => time(times.p50))],
  ["p95", "", cell(([, times]) => time(times.p95))],
  ["p99", "", cell(([, times]) => time(times.p99))],
];
const LANGUAGES = [
  ["language", "", cell(({ language }) => language)],
  ["jobs/s", "", cell(({ rate }) => number(rate))],
  ["translated", "", cell(({ translated }) => number(translated))],
  ["failed", "", cell(({ failed }) => number(failed))],
  ["queue p95", "wide", cell(({ queue }) => time(queue.p95))],
  ["processing p95", "wide", cell(({ processing }) => time(processing.p95))],
];
const ERRORS = [
  ["code", "", cell(({ code }) => code)],
  ["failed jobs", "", cell(({ failed }) => number(failed))],
  ["dead letters", "", cell(({ letters }) => number(letters))],
];
const MODELS = [
  ["model", "", cell(({ id }) => id)],
  ["tier", "text", cell((model) => model.model_type)],
  ["languages", "text", cell((model) => `${model.source_languages.join(", ")} → ${model.target_languages.join(", ")}`)],
  ["engine", "text wide", cell(({ engine }) => engine ?? "–")],
  ["actors", "", cell(({ actors }) => actors ?? 0)],
  ["licence", "text wide", cell(({ licence }) => licence)],
];

/** Shows what metrics say. */
export function showDetails({ languages, latency, errors, pieces }) {
  fillTable(find("latency"), LATENCY, [["queue", latency.queue], ["processing", latency.processing]], ([name]) => name);
  fillTable(find("languages"), LANGUAGES, languages, ({ language }) => language);
  write(find("no-languages"), languages.length ? "" : "No jobs yet.");
  fillTable(find("errors"), ERRORS, errors, ({ code }) => code);
  find("errors").hidden = !errors.length;
  write(find("no-errors"), errors.length ? "" : "No errors.");
  write(find("letters-help"), errors.some(({ letters }) => letters) ? "babelmesh dead-letters list shows them, and replay publishes them again." : "");
  const all = [...pieces.values()].reduce((sum, count) => sum + count, 0);
  const hits = all - (pieces.get("engine") ?? 0);
  write(find("hits"), all ? `${number((100 * hits) / all)} % of ${number(all)} lookups were hits` : "");
}

async function models() {
  const response = await fetch("models");
  if (response.ok) fillTable(find("models"), MODELS, await response.json(), ({ id }) => id);
}

/** Lists the models, again and again: they can be loaded and unloaded. */
export function watchModels() {
  const ask = () => models().catch(() => {});
  ask();
  setInterval(() => document.hidden || ask(), 10000);
}
