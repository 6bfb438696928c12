// Commands for the nodes of the cluster: as lines to copy, and, where the node takes commands over HTTP, as buttons with a confirmation.

import { find, keep, make, write } from "./elements.js";

let enabled = false;
/** The cluster as it was told last, and the command that waits for its confirmation. */
let known = null, asked = null;

/** The commands that make sense for a node now: a name, the words of the command line, the action, and what it means. */
function commandsOf({ node, report }) {
  const pools = report?.pools ?? [];
  const languages = [...new Set(pools.flatMap((pool) => pool.ability.targets))].sort();
  return [
    { name: "Drain the node", line: `drain ${node}`, action: "drain", means: `${node} stops consuming, finishes its in-flight work, leaves the cluster and exits.` },
    ...pools.map(({ model, bounds: [min, max] }) => ({
      name: `Set bounds of ${model}`, line: `set-bounds ${node} ${model} ${min} ${max}`, bounds: [min, max],
      action: { "set-bounds": { model, min, max } }, means: `The pool ${model} of ${node} gets these bounds until the node restarts.`,
    })),
    ...languages.map((language) => {
      const verb = pools.some((pool) => pool.paused.includes(language)) ? "resume" : "pause";
      const means = verb === "pause" ? `Jobs into ${language} wait in Kafka instead of being translated by ${node}.` : `${node} translates jobs into ${language} again.`;
      return { name: `${verb === "pause" ? "Pause" : "Resume"} ${language}`, line: `${verb} ${node} ${language}`, action: { [verb]: { language } }, means };
    }),
  ];
}

function create() {
  const line = make("li");
  const act = make("span", "act");
  line.append(make("span"), make("code"), act);
  return line;
}

function boundsField(label, value) {
  const box = make("label", "", `${label} `);
  const input = make("input");
  Object.assign(input, { type: "number", min: 0, max: 10000, value });
  box.append(input);
  return box;
}

function fill(line, command) {
  line.command = command;
  const [name, code, act] = line.children;
  write(name, command.name);
  write(code, `babelmesh cluster ${command.line}`);
  act.hidden = !enabled;
  if (!enabled || act.firstChild) return;
  if (command.bounds) act.append(boundsField("min", command.bounds[0]), boundsField("max", command.bounds[1]));
  const button = make("button", "", "Run…");
  button.type = "button";
  button.setAttribute("aria-label", `${command.name}…`);
  button.addEventListener("click", () => confirm(line));
  act.append(button);
}

/** Asks whether a command is meant. */
function confirm(line) {
  const { name, action, means } = line.command;
  const [min, max] = [...line.querySelectorAll("input")].map((input) => Number(input.value));
  const bounds = action["set-bounds"];
  asked = { node: find("operate-node").value, action: bounds ? { "set-bounds": { ...bounds, min, max } } : action };
  write(find("confirm-title"), `${name}${bounds ? `: ${min} to ${max} actors` : ""}?`);
  write(find("confirm-means"), means);
  find("confirm").showModal();
}

async function run() {
  const show = (text, name) => {
    write(find("operated"), text);
    find("operated").className = name;
  };
  show("…", "");
  try {
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${find("operator-key").value}` };
    const response = await fetch("operate", { method: "POST", headers, body: JSON.stringify(asked) });
    const json = await response.json();
    show(response.ok ? `${json.node}: ${json.outcome}` : json.error, response.ok ? "" : "error");
  } catch {
    show("no response from the node", "error");
  }
}

/** Shows the commands for the chosen node. */
export function showCommands({ cluster }) {
  find("operate").hidden = !cluster;
  if (!cluster) return;
  known = cluster;
  const up = cluster.members.filter((member) => ["own", "alive"].includes(member.state));
  const choice = find("operate-node");
  const before = choice.value || cluster.node;
  keep(choice, up, ({ node }) => node, ({ node }) => new Option(node, node), () => {});
  if (up.some(({ node }) => node === before)) choice.value = before;
  const member = up.find(({ node }) => node === choice.value);
  const commands = member ? commandsOf(member) : [];
  keep(find("commands"), commands, ({ name }) => `${choice.value} ${name}`, create, fill);
}

export async function startOperating() {
  find("operate-node").addEventListener("change", () => known && showCommands({ cluster: known }));
  find("confirm").addEventListener("close", () => find("confirm").returnValue === "yes" && run());
  const settings = await (await fetch("operate/settings")).json();
  enabled = settings.enabled;
  find("operate-key").hidden = !enabled;
  find("operate-help").hidden = enabled;
  if (known) showCommands({ cluster: known });
}
