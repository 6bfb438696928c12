// The box to try a translation.

import { find, write } from "./elements.js";

async function languages() {
  const known = await (await fetch("languages")).json();
  const option = (language) => new Option(language.name, language.code);
  const written = new Set(known.flatMap((language) => language.targets.filter((target) => target !== language.code)));
  const read = known.filter((language) => language.targets.some((target) => target !== language.code));
  find("from").replaceChildren(new Option("detect", "auto"), ...read.map(option));
  find("to").replaceChildren(...known.filter((language) => written.has(language.code)).map(option));
  if (written.has("fr")) find("to").value = "fr";
  const settings = await (await fetch("frontend/settings")).json();
  find("key-label").hidden = !settings.keyRequired;
}

async function translate(event) {
  event.preventDefault();
  const started = performance.now();
  const show = (text, name, took) => {
    write(find("answer"), text);
    find("answer").className = name;
    write(find("took"), took ? `${Math.round(performance.now() - started)} ms` : "");
  };
  show("…", "", false);
  const body = { q: find("text").value, source: find("from").value, target: find("to").value, api_key: find("key").value };
  try {
    const response = await fetch("translate", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const json = await response.json();
    show(response.ok ? json.translatedText : json.error, response.ok ? "" : "error", true);
  } catch {
    show("no response from the node", "error", false);
  }
}

/** Asks for the languages, again and again until the node tells them. */
export function startTranslations() {
  find("form").addEventListener("submit", translate);
  find("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find("form").requestSubmit();
  });
  const ask = () => languages().catch(() => setTimeout(ask, 2000));
  ask();
}
