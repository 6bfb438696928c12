const page = await open();
const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.tagName);
await until("the languages are there", () => page.locator("#to option").count());

await page.keyboard.press("Tab");
assert.match(await page.evaluate(() => document.activeElement.textContent), /^Skip to/);
assert((await page.locator(".skip").boundingBox()).width > 50, "it can be seen");
await page.keyboard.press("Enter");
assert.equal(await focused(), "try");
const order = [];
for (let i = 0; i < 5; i++) {
  await page.keyboard.press("Tab");
  order.push(await focused());
  const { outlineStyle, outlineWidth } = await page.evaluate(() => getComputedStyle(document.activeElement));
  assert(outlineStyle !== "none" && outlineWidth !== "0px", `${order.at(-1)} shows that it has the focus`);
}
assert.deepEqual(order, ["from", "to", "key", "text", "BUTTON"]);

// Without its key it is refused.
await page.keyboard.press("Enter");
await until("it is refused", async () => (await text(page, "#answer")).includes("API key"));
await page.keyboard.press("Shift+Tab");
await page.keyboard.press("Shift+Tab");
await page.keyboard.type(process.env.KEY);
await page.keyboard.press("Tab");
await page.keyboard.press("ControlOrMeta+A");
await page.keyboard.type("Good night!");
await page.keyboard.press("Tab");
await page.keyboard.press("Enter");
await until("it is translated", async () => (await text(page, "#answer")) === "fr:Good night!");
assert.match(await text(page, "#took"), /^\d+ ms$/);

// Nothing loses the focus when the numbers change, and a key is enough.
await new Promise((done) => setTimeout(done, 2500));
assert.equal(await focused(), "BUTTON");
await page.keyboard.press("Shift+Tab");
await page.keyboard.press("End");
await page.keyboard.type(" Hello!");
await page.keyboard.press("Control+Enter");
await until("it is translated", async () => (await text(page, "#answer")) === "fr:Good night! fr:Hello!");
await assertAccessible(page);
assert.deepEqual(page.complaints.filter((line) => !line.includes("status of 400")), []);
await finish();
