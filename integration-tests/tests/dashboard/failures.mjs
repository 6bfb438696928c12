const page = await open();
const evil = process.env.EVIL;

await act("have a text crash the engine");
const told = page.locator("#events .failure span");
await until("it is told that an actor failed", async () => (await told.allInnerTexts()).some((line) => line.includes("/1 failed ")));
await until("it is told which message was to blame", async () => (await told.allInnerTexts()).some((line) => line.includes(`message ${evil}`)));
await until("that is marked", () => page.locator("svg polygon.sign.bad").count());
await until("the number of failures is told", async () => (await tile(page, "failed")) === 1);

await until("its code is counted", async () => (await page.locator("#errors tbody th").allInnerTexts()).includes("poison_text"));
assert.equal(await page.locator("#errors tbody td").allInnerTexts().then((numbers) => numbers.at(-1)), "1");
await page.getByLabel("failures only").check();
const kinds = () => page.locator("#events li").evaluateAll((all) => all.map((line) => line.className));
await until("only failures are left", async () => (await kinds()).every((kind) => kind === "failure"));
assert((await kinds()).length >= 2);
await screenshot(page, "failures");
await assertAccessible(page);

// In a translation, in an error and in a plot's description.
await page.getByLabel("Text").fill(evil);
await page.getByRole("button", { name: "Translate" }).click();
await until("the translation is there", async () => (await text(page, "#answer")).includes("<img"));
await page.evaluate(() => document.querySelector("#to").append(new Option(document.querySelector("#text").value)));
await page.locator("#to").selectOption({ label: evil });
await page.getByRole("button", { name: "Translate" }).click();
await until("the refusal is there", async () => (await page.locator("#answer.error").count()) && (await text(page, "#answer")).includes("<img"));
assert.equal(await page.evaluate(() => document.images.length), 0);
assert.equal(await page.evaluate(() => globalThis.hit), undefined);

// The refusal is the browser's own complaint.
assert.deepEqual(page.complaints.filter((line) => !line.includes("status of 400")), []);
await finish();
