const page = await open();

// The cluster, its pools and actors.
const members = page.locator("#members tbody tr");
await until("both nodes are up", async () => (await text(page, "#cluster-sum")) === "2 of 2 nodes up");
assert.deepEqual(await members.locator("th").allInnerTexts(), process.env.NODES.split(" "));
assert.deepEqual((await members.locator("td:nth-child(2)").allInnerTexts()).sort(), ["alive", "this node"]);
assert.equal(await text(page, ".pool h3"), "demo-en-fr-de");
assert.match(await text(page, ".pool .size"), /^fake: \d+ actors?, \d+ wanted \(1 to 4\)/);
assert.deepEqual(await page.locator(".lanes tbody th").allInnerTexts(), ["interactive", "normal", "bulk"]);
assert.deepEqual(await page.locator("#kafka tbody th").allInnerTexts(), ["requests", "jobs"]);
assert.match(await text(page, "#remembered"), /^\d+ sentences, [\d.]+ MiB of 8 MiB$/);
assert.match(await text(page, "#shared"), /^Redis is unreachable/);

// Under load the numbers change, without anybody doing anything.
await act("start the load");
const before = await until("something is translated", () => tile(page, "translated"));
await until("the number grows", async () => (await tile(page, "translated")) > before + 100);
await until("the rate is told", async () => (await tile(page, "jobs/s")) > 50);
await until("the node's rate is told", async () => {
  const rates = await members.locator("td:nth-child(4)").allInnerTexts();
  return rates.some((rate) => Number(rate.replaceAll(",", "")) > 50);
});
// From the metrics: languages, latencies and cache hits; and what the cluster does together, its models and the commands for it.
const languages = page.locator("#languages tbody tr");
await until("both languages have a rate", async () => {
  const rates = await languages.locator("td:nth-child(2)").allInnerTexts();
  return rates.length === 2 && rates.every((rate) => Number(rate.replaceAll(",", "")) > 5);
});
assert.deepEqual(await languages.locator("th").allInnerTexts(), ["de", "fr"]);
await until("latencies are told", async () => /^\d.* m?s$/.test(await text(page, "#latency tbody tr:nth-child(2) td:nth-child(4)")));
assert.equal(await text(page, "#no-errors"), "No errors.");
await until("cache hits are told", async () => /^[\d.]+ % of [\d,]+ lookups were hits$/.test(await text(page, "#hits")));
assert.match(await text(page, "#cluster-totals"), /jobs\/s · \d+ warm actors of \d+ · .* · 1 of 1 links up$/);
assert.deepEqual(await page.locator("#models tbody th").allInnerTexts(), ["demo-en-fr-de"]);
const commands = await page.locator("#commands code").allInnerTexts();
assert(commands.some((command) => /^babelmesh cluster pause \S+ fr$/.test(command)), commands.join("\n"));

await until("an actor works", () => page.locator(".actors .busy").count());

await until("what is translated is remembered", async () => parseInt(await text(page, "#remembered"), 10) > 0);

// It is drawn, and that the pool grew is marked on each plot and told.
await until("the pool has grown", async () => (await page.locator(".actors li").count()) > 1);
await until("that is marked", async () => (await page.locator("svg polygon.sign.up").count()) >= 4);
await until("that is told", async () => (await page.locator("#events .scaling span").allInnerTexts()).some((line) => line.includes("1 → ")));
assert.equal(await page.locator("svg[role=img]").count(), 4);
const heights = (curve) => curve.getAttribute("points").then((points) => points.split(" ").map((point) => Number(point.split(",")[1])));
for (const curve of await page.locator("svg polyline.curve").all()) {
  await until("some seconds are drawn", async () => (await heights(curve)).length > 5);
}
const rates = await heights(page.locator("svg polyline.curve").first());
assert(Math.max(...rates) - Math.min(...rates) > 20, `the rate rises visibly: ${rates}`);
await page.locator("svg").first().hover();
assert.match(await page.locator("figcaption .now").first().innerText(), / at \d\d:\d\d:\d\d$/);
await page.mouse.move(0, 0);

// Light, dark and small.
for (const colorScheme of ["light", "dark"]) {
  await page.emulateMedia({ colorScheme });
  const [back, ink] = await page.evaluate(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]);
  const light = (colour) => colour.match(/\d+/g).map(Number).reduce((a, b) => a + b);
  assert.equal(light(back) > light(ink), colorScheme === "light", `${back}, ${ink}`);
  await assertAccessible(page);
  await screenshot(page, `desktop-${colorScheme}`);
}
await assertFits(page);
const phone = await open({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
await until("the phone shows actors", () => phone.locator(".actors li").count());
await assertFits(phone);
for (const button of await phone.locator("button:visible").all()) assert((await button.boundingBox()).height >= 44);
await assertAccessible(phone);
await screenshot(phone, "phone");

// A node that goes away.
await act("kill the other node");
await until("it is shown as down", async () => (await members.locator("td:nth-child(2)").allInnerTexts()).includes("down"));
await until("that is told", async () => (await page.locator("#events .cluster span").allInnerTexts()).some((line) => line.endsWith(" is down")));
assert.deepEqual([...page.complaints, ...phone.complaints], []);
await finish();
