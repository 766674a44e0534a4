// Uses the pages Map, Routes, Upstreams, Telemetry, Doctor and Configuration as people do and
// prints, as JSON, what was seen in each scene.
//
//   node hub_pages.mjs CHROMIUM URL JSON_OF_REASONS
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { played } from "./scenes.mjs";

const [executablePath, base, given] = process.argv.slice(2);
const reasons = JSON.parse(given);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LOOKS = {
  light: { viewport: { width: 1360, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1360, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 360, height: 740 }, colorScheme: "light", hasTouch: true },
};
const PAGES = { // what is there once the page is
  map: "[data-edge]", routes: "[data-route]", upstreams: "[data-endpoint]",
  telemetry: "[data-reason]", doctor: "[data-kind]", config: "[data-generation]",
};
const ACTING = /[\u0000-\u0008\u000b-\u001f\u202a-\u202e\u2066-\u2069]/;

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

async function opened(look, page_name = "", answers = {}) {
  const context = await browser.newContext(LOOKS[look]);
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (line) => line.type() === "error" && problems.push(line.text()));
  await page.addInitScript(() => addEventListener("securitypolicyviolation",
    (event) => console.error(`refused by policy: ${event.violatedDirective} ${event.blockedURI}`)));
  for (const [path, json] of Object.entries(answers))
    await page.route(`**/api/${path}`, (route) => route.fulfill({ json: typeof json === "function" ? json() : json }));
  if (page_name) {
    await page.goto(`${base}/ui/${page_name}`);
    await page.locator(PAGES[page_name]).first().waitFor({ state: "attached" });
  }
  return { page, problems, close: () => context.close() };
}

const violations = (page) => page.evaluate(async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes[0].target} ${v.nodes[0].failureSummary}`);
});

async function look(name) {
  const { page, problems, close } = await opened(name);
  const seen = {};
  for (const [which, marker] of Object.entries(PAGES)) {
    await page.goto(`${base}/ui/${which}`);
    await page.locator(marker).first().waitFor();
    await page.evaluate(axe);
    const text = await page.locator("body").innerText();
    seen[which] = {
      title: await page.title(),
      overflow: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
      violations: await violations(page),
      acting: ACTING.exec(text)?.[0] ?? "",
      hostile: text.includes("<script>window.hit=1</script>"),
      hit: await page.evaluate(() => globalThis.hit ?? null),
    };
  }
  await close();
  return { seen, problems };
}

const says = (page, text) => page.waitForFunction((words) => document.body.innerText.includes(words), text);
const texts = (locator) => locator.allInnerTexts();

const edge = (source, target, rate) => ({ source, target, rate, errors: 0, p50_ms: 1, p99_ms: 2, calls: 1, broken: false });

const scenes = {
  light: () => look("light"),
  dark: () => look("dark"),
  phone: () => look("phone"),

  async map() {
    const { page, problems, close } = await opened("light", "map");
    await page.locator("[data-edge]").first().waitFor();
    const edges = await page.locator("[data-edge]").evaluateAll((all) => Object.fromEntries(all.map((one) => [one.dataset.edge, {
      text: one.textContent, kind: one.getAttribute("class"), dashes: getComputedStyle(one.querySelector(".wire")).strokeDasharray }])));
    const nodes = await page.locator(".graph .node a").evaluateAll((all) => all.map((one) => one.getAttribute("href")));
    const rows = await page.locator("table tbody tr").count();
    await page.locator(".graph .node a").first().focus();
    await page.keyboard.press("Enter");
    await page.waitForURL("**/ui/traces?service=*");
    await close();
    return { edges, nodes, rows, problems };
  },

  async growing_map() {
    let turn = 0;
    const map = () => {
      turn += 1;
      const edges = [edge("a", "b", turn), edge("b", "c", turn * 2)];
      return { nodes: [], edges: turn > 2 ? [...edges, edge("b", "d", 1)] : edges };
    };
    const { page, problems, close } = await opened("light", "map", { map });
    const places = () => page.locator(".graph .node").evaluateAll((all) => Object.fromEntries(all.map((one) => [one.querySelector(".name").textContent, one.style.transform])));
    const shows = (text) => page.waitForFunction((words) => document.querySelector('[data-edge="a>b"]')?.textContent.includes(words), text);
    await shows("1/s");
    const first = await places();
    await shows("2/s");
    const second = await places();
    await page.locator('[data-edge="b>d"]').waitFor({ state: "attached" });
    const third = await places();
    await close();
    return { first, second, third, problems };
  },

  async large_map() {
    const edges = Array.from({ length: 80 }, (_, i) => edge(`s${Math.floor(i / 3)}`, `s${i + 1}`, i + 1));
    const { page, problems, close } = await opened("light", "map", { map: { nodes: [], edges } });
    await page.locator("[data-edge]").first().waitFor({ state: "attached" });
    const drawn = await page.locator("[data-edge]").count();
    const before = await page.locator(".graph .label").count();
    await page.getByLabel("Show the numbers of").selectOption("s1");
    const chosen = await page.locator(".graph .label").count();
    await page.locator(".graph a").filter({ hasText: "s2 " }).first().focus();
    await page.waitForFunction(() => document.querySelector('[data-edge="s2>s7"] .label'));
    await page.route("**/api/map", (route) => route.fulfill({ json: { nodes: [], edges: [] } }));
    await says(page, "No calls yet");
    await close();
    return { drawn, before, chosen, problems };
  },

  async routes() {
    const { page, problems, close } = await opened("light", "routes");
    const orders = page.locator('[data-route="orders"]');
    await orders.getByText("103/s").waitFor();
    const card = await orders.innerText();
    await orders.getByRole("button", { name: "What the file says" }).click();
    const said = await orders.innerText();
    await page.getByLabel("URL or path").fill("/shop/1");
    await page.getByLabel("Headers").fill("x: 1\ny: 2");
    await page.getByLabel("Method").selectOption("POST");
    const [asked] = await Promise.all([page.waitForRequest("**/api/explain?*"), page.getByLabel("URL or path").press("Enter")]);
    await says(page, "taken");
    const told = await page.getByLabel("Explanation").innerText();
    await page.getByLabel("URL or path").fill("/missing");
    await page.getByRole("button", { name: "Explain", exact: true }).click();
    await says(page, "refused");
    await orders.getByRole("button", { name: "Explain a request of orders" }).click();
    await says(page, "request    GET /orders/");
    const address = await page.getByLabel("URL or path").inputValue();
    const links = await page.locator('[data-route="shop"] a').evaluateAll((all) => all.map((one) => one.getAttribute("href")));
    await close();
    return { card, said, query: new URL(asked.url()).search, told, address, links, problems };
  },

  async many_routes() {
    const routes = Array.from({ length: 5000 }, (_, i) => ({ name: `r${i}`, host: [], path: `/r${i}`, action: "proxy",
      to: { u: 1 }, line: i * 4, text: "", timeout_ms: null, retry: null }));
    const { page, problems, close } = await opened("light", "routes", { routes: { routes } });
    await page.locator("[data-route]").first().waitFor();
    const drawn = await page.locator("[data-route]").count();
    await page.getByLabel("Find").fill("r4321");
    await page.waitForFunction(() => document.querySelectorAll("[data-route]").length === 1);
    await page.getByLabel("Find").fill("nothing like it");
    await says(page, "No route has that in it");
    await close();
    return { drawn, problems };
  },

  async upstreams() {
    const { page, problems, close } = await opened("light", "upstreams");
    const endpoint = (url) => page.locator(`[data-endpoint="${url}"]`);
    const states = await texts(page.locator(".ep-state .badge"));
    const whys = await texts(page.locator(".ep-what p"));
    await endpoint("http://10.0.0.9:8080").getByRole("button").press("Enter");
    await says(page, "is drained");
    const drained = await endpoint("http://10.0.0.9:8080").locator(".badge").filter({ hasText: "drained" }).innerText();
    await endpoint("http://10.0.0.9:8080").getByRole("button", { name: "Take back" }).click();
    await says(page, "is undrained");
    await endpoint("http://10.0.0.9:8080").getByRole("button", { name: "Drain" }).waitFor();
    const last = endpoint("http://10.0.1.1:8080").getByRole("button");
    await last.click();
    const warned = await endpoint("http://10.0.1.1:8080").getByRole("alert").innerText();
    await last.click();
    await says(page, "Nothing was changed. Changes by this port need a token");
    const disabled = await page.locator(".ep-do button:disabled").count();
    const described = await page.locator("#closed").innerText();
    await close();
    return { states, whys, drained, warned, disabled, described,
      problems: problems.filter((text) => !text.includes("403")) };
  },

  async telemetry() {
    const { page, problems, close } = await opened("light", "telemetry");
    await page.locator("[data-reason]").first().waitFor();
    const nodes = await page.locator(".graph .node").evaluateAll((all) => all.map((one) => one.textContent));
    const edges = await page.locator("[data-edge]").evaluateAll((all) => all.map((one) => one.dataset.edge));
    const losses = await texts(page.locator("[data-reason]"));
    const text = await page.locator("main").innerText();
    await close();
    return { nodes, edges, losses, text, problems };
  },

  async doctor() {
    const { page, problems, close } = await opened("light", "doctor");
    const findings = await texts(page.locator("[data-kind]"));
    const evidence = await page.locator(".chips a").evaluateAll((all) => all.map((one) => one.getAttribute("href")));
    await page.route("**/api/doctor", (route) => route.fulfill({ json: { findings: [], checked: { spans: 7, services: ["a"] } } }));
    await says(page, "Nothing is wrong, as far as can be seen");
    await says(page, "7 spans of 1 services");
    const checks = await page.locator(".checks li").count();
    await close();
    return { findings, evidence, checks, problems };
  },

  async config() {
    const { page, problems, close } = await opened("light", "config");
    const history = await texts(page.locator("[data-generation]"));
    const diff = await page.locator(".diff span").evaluateAll((all) => all.map((one) => [one.className, one.textContent.trimEnd()]));
    const text = await page.locator("main").innerText();
    await page.getByRole("button", { name: "Show every key" }).click();
    await page.getByText("admin", { exact: true }).click();
    await says(page, "REDACTED");
    await page.locator("summary").filter({ hasText: /^route/ }).press("Enter");
    await page.locator("summary").filter({ hasText: "1 · route-0" }).waitFor();
    const drawn = await page.locator("details details").count();
    await page.getByRole("button", { name: "Show more of 200" }).click();
    const more = await page.locator("details details").count();
    await close();
    return { history, diff, text, drawn, more, problems };
  },

  async keyboard() {
    const { page, problems, close } = await opened("light");
    const stops = {};
    for (const [which, marker] of Object.entries(PAGES)) {
      await page.goto(`${base}/ui/${which}`);
      await page.locator(marker).first().waitFor();
      await page.locator("main h1").focus();
      stops[which] = [];
      for (let at = 0; at < 9; at += 1) {
        await page.keyboard.press("Tab");
        if (await page.evaluate(() => document.activeElement === document.body)) break; // the end
        stops[which].push(await page.evaluate(() => {
          const is = document.activeElement;
          const ring = getComputedStyle(is);
          const box = is.querySelector(":scope > .box");
          return { name: (is.getAttribute("aria-label") ?? is.textContent).trim().slice(0, 60), tag: is.tagName,
            ring: (ring.outlineStyle !== "none" && parseFloat(ring.outlineWidth) >= 2) || (box !== null && parseFloat(getComputedStyle(box).strokeWidth) >= 3) };
        }));
      }
    }
    await close();
    return { stops, problems };
  },

  async library() {
    const { page, problems, close } = await opened("light", "doctor");
    const seen = await page.evaluate(async (all) => {
      const [{ why, REASONS }, { inWords }] = await Promise.all([import("/ui/lib/remedies.js"), import("/ui/pages/doctor.js")]);
      return { whys: Object.fromEntries(all.map((reason) => [reason, why(reason)])), known: Object.keys(REASONS),
        kinds: ["context_dropped", "some_new-kind", "constructor"].map(inWords) };
    }, reasons);
    await close();
    return { ...seen, problems };
  },
};

try {
  console.log(JSON.stringify(await played(scenes)));
} finally {
  await browser.close();
}
