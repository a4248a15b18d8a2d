// Looks at the page in a headless Chromium, as somebody with eyes, a keyboard, a phone or a screen reader would.
// node page.mjs CHROMIUM URL HOSTILE_URL FOLDER: prints one line for each check, and ends with 1 if one failed.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [chromium, url, hostileUrl, folder] = process.argv.slice(2);
// From where the packages were installed, which isn't beside this file.
const require = createRequire(join(folder, "package.json"));
const playwright = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };

let failures = 0;
function check(what, passed, details = "") {
  console.log(`${passed ? "ok" : "FAILED"} ${what}${passed ? "" : `: ${details}`}`);
  failures += passed ? 0 : 1;
}

// With a folder of its own for what a browser keeps, which goes with it.
const browser = await playwright.chromium.launch({ executablePath: chromium, args });

// Runs `look` on a new page, on which nothing may go wrong in silence.
async function visit(what, address, options, look, expected = []) {
  const context = await browser.newContext({ viewport: DESKTOP, colorScheme: "light", ...options });
  const page = await context.newPage();
  const troubles = [];
  const foreign = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) troubles.push(message.text());
  });
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("dialog", (dialog) => { troubles.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    const of = new URL(request.url());
    if (of.protocol !== "data:" && of.origin !== new URL(address).origin) foreign.push(request.url());
  });
  await page.goto(address);
  await look(page, context);
  const unexpected = troubles.filter((text) => !expected.some((part) => text.includes(part)));
  check(`${what}: no error and no violation of its policy`, unexpected.length === 0, unexpected.join(" | "));
  check(`${what}: nothing from elsewhere`, foreign.length === 0, foreign.join(" "));
  await context.close();
}

async function accessible(what, page) {
  // The page's policy allows no script but its own; the debugger may run one all the same.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axe });
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
    expression: "axe.run(document, { resultTypes: ['violations'] }).then((result) => JSON.stringify(result.violations.map(" +
      "({ id, nodes }) => id + ' at ' + nodes.map(({ html }) => html.slice(0, 120)).slice(0, 3).join(', '))))",
    awaitPromise: true,
    returnByValue: true,
  });
  const violations = exceptionDetails ? ["axe did not run"] : JSON.parse(result.value);
  check(`${what}: axe finds nothing`, violations.length === 0, violations.join(" | "));
}

async function fits(what, page) {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  check(`${what}: no scrolling sideways`, wide <= room, `${wide} px in ${room} px`);
}

for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    const what = `${colorScheme}, ${size}`;
    await visit(what, url, { colorScheme, viewport }, async (page) => {
      await accessible(what, page);
      await fits(what, page);
      await page.click(".todo");
      check(`${what}: the step opens`, await page.locator(".advice:popover-open").isVisible());
      await accessible(`${what}, a step open`, page);
      await fits(`${what}, a step open`, page);
    });
  }
}
for (const width of [320, 480, 768, 1024, 1249, 1920]) {
  await visit(`${width} px`, url, { viewport: { width, height: 900 } }, (page) => fits(`${width} px`, page));
}
await visit("print", url, {}, async (page) => {
  await page.emulateMedia({ media: "print" });
  check("print: no form and no links to endpoints", await page.locator("form:visible, nav:visible").count() === 0);
  check("print: the keys", await page.locator("table.keys tbody tr:visible").count() > 10);
});

await visit("keyboard", url, {}, async (page) => {
  await page.keyboard.press("Tab");
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  check("keyboard: the first stop skips to the content", (await focused()) === "Skip to the content", await focused());
  await page.keyboard.press("Enter");
  check("keyboard: and does so", await page.evaluate(() => document.activeElement.id === "main"));
  // Every link, field and button that is shown is reached, each with a focus that shows.
  await page.goto(url);
  const wanted = await page.evaluate(() => [...document.querySelectorAll("a, button, input, select, summary")]
    .filter((element) => element.checkVisibility() && element.type !== "hidden").length);
  const reached = new Set();
  let unseen = "";
  for (let presses = 0; presses <= wanted + 5; presses += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return null;
      const style = getComputedStyle(element);
      const shows = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
      return [[...document.querySelectorAll("*")].indexOf(element), shows ? "" : element.outerHTML.slice(0, 80)];
    });
    if (!stop) break;
    reached.add(stop[0]);
    unseen ||= stop[1];
  }
  check("keyboard: everything is reached", reached.size >= wanted, `${reached.size} of ${wanted}`);
  check("keyboard: the focus shows", unseen === "", unseen);
  await page.goto(url);
  await page.locator(".todo").first().focus();
  await page.keyboard.press("Enter");
  check("keyboard: Enter opens a step", await page.locator(".advice:popover-open").count() === 1);
  await page.keyboard.press("Escape");
  check("keyboard: Escape closes it", await page.locator(".advice:popover-open").count() === 0);
});

await visit("form", url, {}, async (page) => {
  await page.fill("input[name=user]", "ERP");
  await page.keyboard.press("Enter");
  await page.waitForURL(/user=ERP/);
  const users = await page.locator("table.keys td.user").allInnerTexts();
  check("form: filters by a part of the name", users.length === 2 && users.every((text) => text.includes("erp-connector")), users.join());
  await page.click("th a:text('Age')");
  await page.waitForURL(/sort=age/);
  const sorted = await page.locator("th[aria-sort]").innerText();
  check("form: a heading sorts and says so", sorted.startsWith("Age"), sorted);
  check("form: and keeps the filter", page.url().includes("user=ERP"), page.url());
});

await visit("copy", url, { permissions: ["clipboard-read", "clipboard-write"] }, async (page) => {
  await page.click(".todo");
  const advice = page.locator(".advice:popover-open");
  const command = await advice.locator("pre.command").first().innerText();
  await advice.locator("button.copy").first().click();
  await advice.locator("button.copy:text('Copied')").waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  check("copy: the command as it is", copied === command && copied.startsWith("aws iam "), copied);
});

await visit("without scripts", url, { javaScriptEnabled: false }, async (page) => {
  await page.click(".todo");
  check("without scripts: the step opens", await page.locator(".advice:popover-open pre.command").first().isVisible());
  check("without scripts: no button that would do nothing", await page.locator("button.copy").count() === 0);
});

const refused = ["400 (Bad Request)"];
await visit("a mistake", `${url}?verdict=x`, {}, (page) => accessible("a mistake", page), refused);
await visit("nothing matches", `${url}?user=nobody`, {}, (page) => accessible("nothing matches", page));

await visit("hostile names", hostileUrl, {}, async (page) => {
  check("hostile names: they are shown", (await page.locator("td.user").allInnerTexts()).some((text) => text.includes("<script>")));
  for (const button of await page.locator(".todo").all()) {
    await button.click();
    await page.keyboard.press("Escape");
  }
  for (const user of await page.locator("td.user").all()) await user.hover();
  check("hostile names: none of them runs", (await page.title()).includes("iam-key-exporter"), await page.title());
  check("hostile names: one script", await page.locator("script").count() === 1);
  check("hostile names: no picture", await page.locator("img, iframe, object, embed").count() === 0);
  await fits("hostile names", page);
});
const payload = encodeURIComponent(`"><script>document.title='run'</script>`);
for (const query of [`?user=${payload}`, `?sort=${payload}`, `?${payload}=1`]) {
  await visit(`hostile ${query.slice(0, 6)}`, `${url}${query}`, {}, async (page) => {
    check(`hostile ${query.slice(0, 6)}: it doesn't run`, (await page.title()).includes("iam-key-exporter"), await page.title());
  }, refused);
}

if (process.env.IAM_KEY_EXPORTER_TEST_PICTURES) {
  for (const [name, options, query] of [
    ["page", { viewport: { width: 1280, height: 1120 } }, ""],
    ["page-dark", { colorScheme: "dark", viewport: { width: 1280, height: 1120 } }, ""],
    ["page-phone", { viewport: PHONE }, "#keys"],
  ]) {
    await visit(`picture ${name}`, `${url}${query}`, options, (page) =>
      page.screenshot({ path: join(process.env.IAM_KEY_EXPORTER_TEST_PICTURES, `${name}.png`) }));
  }
}

await browser.close();
process.exit(failures ? 1 : 0);
