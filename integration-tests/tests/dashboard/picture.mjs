const page = await open({ colorScheme: "light" });
await until("all nodes are up", async () => (await text(page, "#cluster-sum")) === "3 of 3 nodes up");
await act("let minutes pass");
await page.getByRole("button", { name: "Translate" }).click();
await until("it is translated", async () => (await text(page, "#answer")).includes("gare"));
assert((await page.locator("svg polygon.sign").count()) >= 3, "something was scaled");
await page.mouse.move(0, 0);
await page.screenshot({ path: process.env.PICTURE, fullPage: true });
await finish();
