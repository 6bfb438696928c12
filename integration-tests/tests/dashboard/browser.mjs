// What comes before every program of these tests: a browser, and whoever started it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const { URL: address, CHROMIUM: executablePath, SCREENSHOTS: folder, DASHBOARD: files } = process.env;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** Has the test do something, and waits until it is done. */
async function act(what) {
  console.log(what);
  const { value, done } = await lines.next();
  assert(!done && value === "done", `the test does not ${what}`);
}

/** A page that was opened, and what it complains of. */
async function open(options = {}, port = address) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.complaints.push(message.text()));
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  if (files) {
    await page.route(/\/\w+\.(js|css)$/, async (route) => {
      const { pathname } = new URL(route.request().url());
      await route.fulfill({ response: await route.fetch(), body: readFileSync(`${files}${pathname}`, "utf8") });
    });
  }
  await page.goto(port);
  const state = () => text(page, "#state");
  await until("the page is live", async () => (await state()).startsWith("live")).catch(async (error) => {
    throw new Error(`${error.message}; ${await state()}; ${page.complaints.join("; ")}`);
  });
  return page;
}

/** Looks again and again until something is so. */
async function until(what, look, seconds = 40) {
  const end = Date.now() + seconds * 1000;
  let found;
  while (!(found = await look())) {
    assert(Date.now() < end, `waited ${seconds} s in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
  return found;
}

const text = (page, selector) => page.locator(selector).first().innerText();
/** The number of a tile. */
const tile = async (page, name) =>
  Number((await page.locator("#tiles > div", { has: page.getByText(name, { exact: true }) }).locator("dd").innerText()).replaceAll(",", ""));

async function screenshot(page, name) {
  if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}

/** Nothing is wider than the screen, and no table than what it is in. */
async function assertFits(page) {
  const tooWide = await page.evaluate(() => {
    const right = (element) => element.getBoundingClientRect().right;
    const tables = [...document.querySelectorAll("table")].filter((table) => right(table) > right(table.parentElement));
    return [...tables.map((table) => table.id || table.className), ...(document.documentElement.scrollWidth > innerWidth ? ["the page"] : [])];
  });
  assert.deepEqual(tooWide, []);
}

/** Contrast, labels, roles and what else axe knows. */
async function assertAccessible(page) {
  await page.evaluate(readFileSync(createRequire(`${process.cwd()}/x.js`).resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const worst = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const told = worst.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
  assert.deepEqual(told, []);
}

async function finish() {
  await browser.close();
  console.log("all is well");
  process.exit(0);
}
