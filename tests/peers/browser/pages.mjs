// Uses the admin port's pages as people do and prints, as JSON, what was seen in each scene.
//
//   node pages.mjs CHROMIUM URL URL_THAT_ASKS_FOR_A_TOKEN JSON_OF_IDS
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { played } from "./scenes.mjs";

const [executablePath, base, guarded, given] = process.argv.slice(2);
const ids = JSON.parse(given); // {first, second, large}: traces
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LOOKS = {
  light: { viewport: { width: 1360, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1360, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 360, height: 740 }, colorScheme: "light", hasTouch: true },
};
const PAGES = {
  live: ["/ui/?route=orders", ".rows .body [role=row]"],
  traces: ["/ui/traces?limit=250", ".rows .body [role=row]"],
  heat: ["/ui/traces?view=heat", ".warmth"],
  trace: [`/ui/trace/${ids.second}`, "[data-span-id]"],
  compare: [`/ui/compare?a=${ids.first}&b=${ids.second}`, ".change"],
};
// What may not be in a page's text: marks that change the direction of what follows, and controls.
const ACTING = /[\u0000-\u0008\u000b-\u001f\u202a-\u202e\u2066-\u2069]/;

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

/** A page of its own in `look`, whose `problems` are all that a console would show in red. */
async function opened(look, url = "") {
  const context = await browser.newContext({ ...LOOKS[look], permissions: ["clipboard-read", "clipboard-write"] });
  const page = await context.newPage();
  page.setDefaultTimeout(90_000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (line) => line.type() === "error" && problems.push(line.text()));
  await page.addInitScript(() => addEventListener("securitypolicyviolation",
    (event) => console.error(`refused by policy: ${event.violatedDirective} ${event.blockedURI}`)));
  if (url) await page.goto(base + url);
  return { page, problems, close: () => context.close() };
}

const violations = (page, rules = null) => page.evaluate(async (runOnly) => {
  const found = await axe.run(document, { resultTypes: ["violations"], ...(runOnly && { runOnly }) });
  return found.violations.filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes[0].target} ${v.nodes[0].failureSummary}`);
}, rules);

async function look(name) {
  const { page, problems, close } = await opened(name);
  const seen = {};
  for (const [which, [url, marker]] of Object.entries(PAGES)) {
    if (which === "heat" && name !== "light") continue; // the same page with another picture
    await page.goto(base + url);
    await page.locator(marker).first().waitFor();
    if (name === "phone") await page.touchscreen.tap(10, 300);
    else await page.evaluate(axe);
    const text = await page.locator("body").innerText();
    seen[which] = {
      title: await page.title(),
      overflow: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
      scheme: await page.evaluate(() => getComputedStyle(document.body).colorScheme),
      ground: await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor),
      // The same elements as in light: dark has other colours alone, and a phone none.
      violations: name === "phone" ? [] : await violations(page, name === "dark" ? ["color-contrast"] : null),
      acting: ACTING.exec(text)?.[0] ?? "",
      hit: await page.evaluate(() => globalThis.hit ?? null),
    };
  }
  await close();
  return { seen, problems };
}

const paths = (page) => page.locator(".rows .body [role=row] .mono[title]").allTextContents();
const rows = (page) => page.locator(".rows .body [role=row]").count();
const told = (page, status) => page.waitForFunction((text) => document.body.innerText.includes(text), status);

const scenes = {
  light: () => look("light"),
  dark: () => look("dark"),
  phone: () => look("phone"),

  async filters() {
    const { page, problems, close } = await opened("light", "/ui/");
    await page.locator(".rows .body [role=row]").nth(8).waitFor();
    const seen = {};
    const narrow = async (name, act, good) => {
      await act();
      await page.waitForFunction(() => location.search); // a moment after the last key
      await page.waitForFunction(([selector, pattern]) => {
        const found = [...document.querySelectorAll(`.rows .body [role=row] ${selector}`)];
        return found.length > 1 && found.every((one) => new RegExp(pattern).test(one.textContent));
      }, good);
      seen[name] = { address: new URL(page.url()).search, paths: await paths(page) };
      await page.getByRole("button", { name: "No filters" }).click();
      await page.waitForFunction(() => !location.search);
      await page.getByRole("button", { name: "Clear" }).click();
    };
    const box = (name) => page.getByRole("textbox", { name });
    await narrow("route", () => page.getByRole("combobox", { name: "Route" }).selectOption("orders"), [".mono[title]", "^.orders"]);
    await narrow("path", () => box("Path").fill("/shop/*"), [".mono[title]", "^.shop"]);
    await narrow("method", () => box("Method").fill("post"), ["[role=gridcell]:nth-child(3)", "^POST$"]);
    await narrow("status", () => box("Status").fill("4xx"), [".badge", "404"]);
    await narrow("errors", () => page.getByLabel("Errors only").check(), [".badge", "503"]);
    await narrow("least", () => box("At least, ms").fill("40"), [".num:not(.wide)", "^[4-9]\\d(\\.\\d)? ms$"]);
    await page.goto(`${base}/ui/traces?limit=250`);
    await told(page, "250 traces, newest first");
    await page.getByLabel("Failed only").check();
    await page.waitForFunction(() => [...document.querySelectorAll(".rows .body .badge")].every((one) => /503/.test(one.textContent)));
    await page.getByRole("textbox", { name: "At least, ms" }).fill("100000");
    await told(page, "No trace is like that");
    seen.search = new URL(page.url()).search;
    await close();
    return { seen, problems };
  },

  async flood() {
    const { page, problems, close } = await opened("light");
    await page.request.get(`${base}/fixture/speed/2000`);
    await page.goto(`${base}/ui/`);
    await told(page, "2,000 of at most 2,000");
    const before = await page.evaluate(() => {
      globalThis.frames_seen = 0;
      const count = () => { globalThis.frames_seen += 1; requestAnimationFrame(count); };
      requestAnimationFrame(count);
      return document.querySelector(".rows .body .mono[title]").textContent;
    });
    const number = (text) => Number(text.split("/").at(-1));
    await page.waitForFunction((from) => Number(document.querySelector(".rows .body .mono[title]")
      .textContent.split("/").at(-1)) > from + 4000, number(before));
    const frames = await page.evaluate(() => globalThis.frames_seen);
    const drawn = await rows(page);
    await page.getByRole("button", { name: "Pause" }).click();
    const paused = (await paths(page))[0];
    await page.waitForFunction(() => /Paused, [1-9][\d,]{2,} newer/.test(document.body.innerText));
    const still = (await paths(page))[0];
    const missed = await page.getByText("not shown").count();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.waitForFunction((old) => document.querySelector(".rows .body .mono[title]").textContent !== old, still);
    await page.request.get(`${base}/fixture/speed/60`);
    await close();
    return { frames, drawn, paused, still, missed, problems };
  },

  async keyboard() {
    const { page, problems, close } = await opened("light", "/ui/traces");
    await page.locator(".rows .body [role=row]").first().waitFor();
    const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
    const focused = () => page.evaluate(() => {
      const at = document.activeElement;
      const outline = getComputedStyle(at);
      return { name: at.getAttribute("aria-label") ?? at.textContent.trim(), role: at.getAttribute("role") ?? at.tagName,
        ring: outline.outlineStyle !== "none" && parseFloat(outline.outlineWidth) >= 2 };
    });
    const stops = [];
    for (let at = 0; at < 40; at += 1) {
      await press("Tab");
      stops.push(await focused());
      if (stops.at(-1).role === "grid") break;
    }
    await press("ArrowDown", "Space", "ArrowDown", "Space");
    const marked = await page.locator(".rows .body [aria-selected=true]").count();
    await press("End");
    const last = await page.locator(".rows .body .at").getAttribute("aria-rowindex");
    await press("Home", "Enter");
    await page.locator("[data-span-id]").first().waitFor();
    const opened_trace = new URL(page.url()).pathname;
    const tree = page.locator("[role=treegrid]");
    await tree.focus();
    const at = async () => (await page.locator(".fall .at .name").innerText()).replaceAll(/\s+/g, " ").trim();
    const walk = [];
    for (const key of ["ArrowDown", "ArrowDown", "ArrowUp"]) { await press(key); walk.push(await at()); }
    const open = await page.locator("[data-span-id]").count();
    await press("ArrowLeft");
    const folded = await page.locator("[data-span-id]").count();
    await press("ArrowLeft");
    walk.push(await at());
    await press("ArrowDown", "ArrowRight");
    const unfolded = await page.locator("[data-span-id]").count();
    await press("Enter");
    const detail = await focused();
    await close();
    return { stops, marked, last, opened_trace, walk, open, folded, unfolded, detail, problems };
  },

  async trace() {
    const { page, problems, close } = await opened("light", `/ui/trace/${ids.second}`);
    await page.locator("[data-span-id]").first().waitFor();
    const clipboard = async (name) => {
      await page.getByRole("button", { name }).click();
      await page.getByText("Copied").first().waitFor();
      const text = await page.evaluate(() => navigator.clipboard.readText());
      await page.waitForFunction(() => !/Copied/.test(document.body.innerText));
      return text;
    };
    const curl = await clipboard("Copy as curl");
    const json = JSON.parse(await clipboard("Copy JSON"));
    const otlp = JSON.parse(await clipboard("Copy OTLP"));
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download OTLP" }).click()]);
    const phases = await page.locator("[data-span-id] .phase").evaluateAll((all) => [...new Set(all.map((one) => one.className))]);
    const critical = await page.locator(".critical").count();
    await page.locator("[data-span-id].failed").click();
    const detail = await page.locator(".detail").innerText();
    await page.locator("[data-span-id]").first().click();
    await page.getByRole("button", { name: "Show all, 1 MiB" }).click();
    const shown = await page.locator(".detail pre").innerText();
    const outside = await page.getByRole("link", { name: "Open where" }).getAttribute("href");
    await close();
    return { curl, spans: json.spans.length, otlp, name: download.suggestedFilename(), phases, critical, detail,
      shown: shown.length, outside, problems };
  },

  async large() {
    const { page, problems, close } = await opened("light", `/ui/trace/${ids.large}`);
    await page.locator("[data-span-id]").first().waitFor();
    const drawn = await page.locator("[data-span-id]").count();
    await page.getByRole("searchbox").fill("step 3333");
    await page.getByText("1 found").waitFor();
    await page.keyboard.press("Enter");
    await page.locator(".fall .at.hit").waitFor();
    const hit = await page.locator(".fall .at .name").innerText();
    await page.locator("[role=treegrid]").focus();
    await page.keyboard.press("End");
    const last = await page.locator(".fall .at .name").innerText();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    await page.waitForFunction(() => document.querySelectorAll("[data-span-id]").length === 1);
    await close();
    return { drawn, hit, last, problems };
  },

  async compare() {
    const { page, problems, close } = await opened("light", "/ui/traces");
    const boxes = page.locator(".rows .body input[type=checkbox]");
    await boxes.nth(0).check();
    await boxes.nth(1).check();
    await page.getByRole("button", { name: "Compare the two" }).click();
    await page.locator(".twin").first().waitFor();
    const text = await page.locator("main").innerText();
    await page.getByRole("button", { name: "Swap A and B" }).click();
    await told(page, "0 only in B");
    const swapped = await page.locator("main").innerText();
    await page.getByRole("textbox", { name: "Trace B" }).fill("nonsense");
    await told(page, "An id has 32 hexadecimal digits.");
    await close();
    return { text, swapped, problems };
  },

  async token() {
    const { page, close } = await opened("light");
    await page.goto(`${guarded}/ui/traces`);
    await page.getByRole("textbox", { name: "Token" }).press("Escape");
    await page.getByText("a token is needed").waitFor();
    await page.reload();
    await page.getByRole("textbox", { name: "Token" }).fill("wrong");
    await page.keyboard.press("Enter");
    await page.getByText("That is not the token.").waitFor();
    await page.evaluate(axe);
    const asked = await violations(page);
    await page.getByRole("textbox", { name: "Token" }).fill("let me in");
    await page.keyboard.press("Enter");
    await page.locator(".rows .body [role=row]").first().waitFor();
    await page.reload();
    await page.locator(".rows .body [role=row]").first().waitFor();
    const again = await page.locator("dialog").count();
    await page.goto(`${guarded}/ui/`);
    await page.locator(".rows .body [role=row]").first().waitFor();
    const stored = await page.evaluate(() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie]);
    await close();
    return { asked, again, stored };
  },

  async shell() {
    const { page, problems, close } = await opened("light", "/ui/nowhere");
    await told(page, "No such page");
    const blocking = await page.evaluate(() => performance.getEntriesByType("resource")
      .filter((one) => one.renderBlockingStatus === "blocking").map((one) => new URL(one.name).pathname));
    await page.getByRole("button", { name: "Dark" }).click();
    await page.reload();
    await told(page, "No such page");
    const theme = await page.evaluate(() => document.documentElement.dataset.theme);
    await page.getByRole("link", { name: "Traces" }).click();
    await page.locator(".rows .body [role=row]").first().waitFor();
    const current = await page.locator("#nav [aria-current]").allTextContents();
    await page.getByRole("link", { name: "Spangate, live requests" }).click();
    await page.getByRole("button", { name: "A failing one" }).click();
    await page.getByText("A failing one: answered").waitFor();
    await page.goBack();
    await page.locator(".scatter").waitFor();
    await page.goto(`${base}/ui/trace/${"0".repeat(32)}`);
    await told(page, "This trace is not kept here");
    await close();
    return { blocking, theme, current, problems: problems.filter((text) => !text.includes("404")) };
  },

  async table() {
    const { page, problems, close } = await opened("light", "/ui/nowhere");
    await page.evaluate(async () => {
      const [{ html, render }, { Table }] = await Promise.all([import("/ui/lib/ui.js"), import("/ui/lib/table.js")]);
      const columns = [{ title: "Number", narrow: "1fr", cell: (row) => row.number }];
      const rows = Array.from({ length: 50_000 }, (_, number) => ({ number }));
      const place = document.createElement("div");
      document.getElementById("main").append(place);
      const draw = (all) => render(html`<${Table} label="Many" columns=${columns} rows=${all} rowKey=${(row) => row.number} height="400px" />`, place);
      draw(rows);
      globalThis.more = () => draw([{ number: -2 }, { number: -1 }, ...rows]);
    });
    const table = page.getByRole("grid", { name: "Many" });
    const lines = page.locator(".rows .body [role=row]");
    const drawn = await lines.count();
    await table.focus();
    await page.keyboard.press("End");
    const last = await page.locator(".rows .body .at").innerText();
    await page.keyboard.press("PageUp");
    const above = Number(await page.locator(".rows .body .at").innerText());
    const top = () => page.evaluate(() => {
      const box = document.querySelector(".rows").getBoundingClientRect();
      return document.elementFromPoint(box.x + 50, box.y + 60).textContent;
    });
    await page.evaluate(() => { document.querySelector(".rows").scrollTop = 36 * 1000; });
    await page.waitForFunction(() => document.querySelector(".rows").textContent.includes("1005"));
    const before = await top();
    await page.evaluate(() => globalThis.more());
    await page.waitForFunction(() => document.querySelector(".rows").getAttribute("aria-rowcount") === "50003");
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    const after = await top();
    await close();
    return { drawn, last, above, before, after, problems };
  },

  async library() {
    const { page, problems, close } = await opened("light", "/ui/nowhere");
    const seen = await page.evaluate(async (cases) => {
      const [{ asked, curl }, format, { parseEvent }, { paired }] = await Promise.all([
        import("/ui/lib/curl.js"), import("/ui/lib/format.js"), import("/ui/lib/api.js"), import("/ui/lib/pairs.js")]);
      const command = (attributes) => {
        const span = asked([{ kind: "internal", attributes: {} }, { kind: "server", attributes }]);
        return span && curl(span);
      };
      const span = (name, service = "s") => ({ name, service, kind: "server", depth: 0 });
      return {
        curl: cases.curl.map(command),
        ms: cases.ms.map(format.ms),
        links: cases.links.map(format.httpUrl),
        event: parseEvent("event: request\nid: 7\n: a comment\ndata: {\ndata: }"),
        comment: parseEvent(":"),
        pairs: paired([span("a"), span("b"), span("a")], [span("x"), span("a"), span("y"), span("a"), span("a")])
          .map(({ a, b }) => [a?.name ?? null, b?.name ?? null]),
      };
    }, ids.cases);
    await close();
    return { ...seen, problems };
  },
};

try {
  console.log(JSON.stringify(await played(scenes)));
} finally {
  await browser.close();
}
