const page = await open();
const { NODE: node, KEY: key } = process.env;
const answer = () => text(page, "#operated");

/** Clicks the button of a command, and what the dialog offers. */
async function run(command, choice) {
  await page.getByRole("button", { name: `${command}…`, exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await dialog.getByRole("button", { name: choice }).click();
  await dialog.waitFor({ state: "hidden" });
}

await until("the commands are there", () => page.getByRole("button", { name: "Pause fr…" }).count());
assert.equal(await page.locator("#operate-node").inputValue(), node);

// Nothing happens without a confirmation, and nothing without the right key.
await run("Pause fr", "Cancel");
assert.equal(await answer(), "");
await run("Pause fr", "Confirm");
await until("a key is asked for", async () => (await answer()).includes("operator key is needed"));
await page.getByLabel("Operator key").fill("bm_wrong");
await run("Pause fr", "Confirm");
await until("the key is refused", async () => (await answer()).includes("invalid operator key"));

await page.getByLabel("Operator key").fill(key);
await run("Pause fr", "Confirm");
await until("fr is paused", async () => (await answer()) === `${node}: fr paused`);
await until("the pool says so", async () => (await text(page, ".pool .why")).includes("paused: fr"));
await until("it can be resumed", () => page.getByRole("button", { name: "Resume fr…" }).count());
await page.getByRole("button", { name: "Resume fr…" }).click();
await assertAccessible(page);
await screenshot(page, "operate");
await page.keyboard.press("Escape");
await run("Resume fr", "Confirm");
await until("fr is resumed", async () => (await answer()) === `${node}: fr resumed`);

await page.getByLabel("min", { exact: true }).fill("5");
await page.getByLabel("max", { exact: true }).fill("2");
await run("Set bounds of demo-en-fr-de", "Confirm");
await until("bounds that contradict each other are refused", async () => (await answer()).includes("min (5) must not exceed max (2)"));
await page.getByLabel("min", { exact: true }).fill("1");
await run("Set bounds of demo-en-fr-de", "Confirm");
await until("the bounds are set", async () => (await answer()).includes("1 to 2 actors"));

await page.setViewportSize({ width: 360, height: 740 });
await assertFits(page);
await act("expect the node to end");
await run("Drain the node", "Confirm");
await until("it drains", async () => (await answer()).includes("draining"));
// Refusals are the browser's own complaints, and so is the node that ends.
assert.deepEqual(page.complaints.filter((line) => !/status of (401|403|409|503)|ERR_CONNECTION|WebSocket/.test(line)), []);
await finish();
