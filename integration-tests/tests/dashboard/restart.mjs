const page = await open();
await until("there is a history", async () => (await page.locator("svg polyline.curve").first().getAttribute("points")).split(" ").length > 2);
await act("kill the node");
await until("the page says so", async () => (await text(page, "#state")) === "disconnected, reconnecting");
assert.equal(await page.locator("body.stale").count(), 1, "what it shows is marked as old");
await page.getByRole("button", { name: "Translate" }).click();
await until("nothing is translated", async () => (await text(page, "#answer")) === "no response from the node");
await act("start the node");
await until("the page is live again", async () => (await text(page, "#state")) === "live, ready");
assert.equal(await page.locator("body.stale").count(), 0);
await page.getByRole("button", { name: "Translate" }).click();
await until("it translates again", async () => (await text(page, "#answer")).startsWith("fr:"));
await until("events are of the new node", async () => (await page.locator("#events li").count()) > 0);
// That nobody listens, or the node still starts, is the browser's own complaint.
assert.deepEqual(page.complaints.filter((line) => !/ERR_CONNECTION|response code: 503|status of 503/.test(line)), []);
await finish();
