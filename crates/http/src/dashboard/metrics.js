// Reads /metrics every few seconds and derives what the feed does not tell: latencies, errors by code, rates by language, cache hits.

/** How often metrics are read, and over which time rates and latencies are computed, in milliseconds. */
const EVERY = 5000, WINDOW = 60000;
const SAMPLE = /^(\w+)\{(.*)\} (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const NEEDED = /^babelmesh_(jobs_total|job_queue_seconds_bucket|job_processing_seconds_bucket|pieces_total|dead_letters_total)\{/;

/** Snapshots of the last minute, the oldest first. */
let snapshots = [];

/** The samples of an exposition that are needed here, by their names and labels. */
export function parse(exposition) {
  const samples = new Map();
  for (const line of exposition.split("\n")) {
    if (!NEEDED.test(line)) continue;
    const [, name, labels, value] = SAMPLE.exec(line) ?? [];
    if (!name) continue;
    const pairs = Object.fromEntries([...labels.matchAll(LABEL)].map(([, key, text]) => [key, text]));
    samples.set(`${name}{${labels}}`, { name, labels: pairs, value: Number(value) });
  }
  return samples;
}

/** The growth of each sample of a name since the oldest snapshot. */
function growth(newest, oldest, name) {
  return [...newest.samples]
    .filter(([, sample]) => sample.name === name)
    .map(([key, { labels, value }]) => ({ labels, value, grown: Math.max(0, value - (oldest.samples.get(key)?.value ?? 0)) }));
}

/** Sums of a number of each item, by a key. */
function sums(items, key, value) {
  const total = new Map();
  for (const item of items) total.set(key(item), (total.get(key(item)) ?? 0) + value(item));
  return total;
}

/**
 * The quantile of cumulative buckets, in milliseconds, interpolated within its bucket as Prometheus does; null where nothing was counted.
 */
export function quantile(buckets, share) {
  const sorted = [...buckets].map(([bound, count]) => [bound === "+Inf" ? Infinity : Number(bound), count]).sort(([a], [b]) => a - b);
  const all = sorted.length ? sorted[sorted.length - 1][1] : 0;
  if (!all) return null;
  const rank = share * all;
  const place = sorted.findIndex(([, count]) => count >= rank);
  const [bound, count] = sorted[place];
  const [lower, before] = place ? sorted[place - 1] : [0, 0];
  if (bound === Infinity) return lower * 1000;
  return (lower + (bound - lower) * ((rank - before) / Math.max(count - before, 1))) * 1000;
}

function quantiles(buckets) {
  const counts = sums(buckets, ({ labels }) => labels.le, ({ grown }) => grown);
  return { p50: quantile(counts, 0.5), p95: quantile(counts, 0.95), p99: quantile(counts, 0.99) };
}

/** What the snapshots say. Rates are per second. */
function derive() {
  const newest = snapshots[snapshots.length - 1], oldest = snapshots[0];
  const seconds = Math.max((newest.at - oldest.at) / 1000, 1);
  const jobs = growth(newest, oldest, "babelmesh_jobs_total");
  const queue = growth(newest, oldest, "babelmesh_job_queue_seconds_bucket");
  const processing = growth(newest, oldest, "babelmesh_job_processing_seconds_bucket");
  const isError = ({ labels }) => labels.outcome !== "translated";
  const languages = [...new Set(jobs.map(({ labels }) => labels.language))].filter(Boolean).sort().map((language) => {
    const own = (items) => items.filter(({ labels }) => labels.language === language);
    const total = (items) => items.reduce((sum, { value }) => sum + value, 0);
    return {
      language,
      rate: own(jobs).reduce((sum, { grown }) => sum + grown, 0) / seconds,
      translated: total(own(jobs).filter((job) => !isError(job))),
      failed: total(own(jobs).filter(isError)),
      queue: quantiles(own(queue)),
      processing: quantiles(own(processing)),
    };
  });
  const pieces = growth(newest, oldest, "babelmesh_pieces_total");
  const failed = sums(jobs.filter(isError), ({ labels }) => labels.outcome, ({ value }) => value);
  const letters = sums(growth(newest, oldest, "babelmesh_dead_letters_total"), ({ labels }) => labels.code, ({ value }) => value);
  const codes = [...new Set([...failed.keys(), ...letters.keys()])].sort();
  return {
    languages,
    latency: { queue: quantiles(queue), processing: quantiles(processing) },
    errors: codes.map((code) => ({ code, failed: failed.get(code) ?? 0, letters: letters.get(code) ?? 0 })).filter(({ failed, letters }) => failed || letters),
    pieces: sums(pieces, ({ labels }) => labels.source, ({ value }) => value),
  };
}

async function read(show) {
  try {
    const response = await fetch("metrics");
    if (!response.ok) return;
    const snapshot = { at: Date.now(), samples: parse(await response.text()) };
    const total = (samples) => [...samples.values()].reduce((sum, { name, value }) => sum + (name === "babelmesh_jobs_total" ? value : 0), 0);
    // Counters that have shrunk are those of another process.
    const last = snapshots[snapshots.length - 1];
    if (last && total(snapshot.samples) < total(last.samples)) snapshots = [];
    snapshots = snapshots.concat(snapshot).filter(({ at }) => at > snapshot.at - WINDOW - EVERY);
    show(derive());
  } catch {
    // The feed says whether the node is there.
  }
}

/** Calls `show` with what metrics say, again and again while the page can be seen. */
export function watchMetrics(show) {
  read(show);
  // Rates need two readings.
  setTimeout(() => read(show), 1500);
  setInterval(() => document.hidden || read(show), EVERY);
}
