// Lets pages of two origins fetch from a third one and prints, as JSON, what each could read.
//
//   node cors.mjs CHROMIUM SHOP STRANGER API
import { chromium } from "playwright-core";

const [executablePath, shop, stranger, api] = process.argv.slice(2);
const json = { "content-type": "application/json" };
const WITH = { credentials: "include" }, WITHOUT = { credentials: "omit" };
const ASKED = { // scene -> whose page, path, options of fetch
  simple: [shop, "/api", WITH],
  preflighted: [shop, "/api", { ...WITH, method: "PUT", headers: { "X-A": "1", ...json }, body: "{}" }],
  again: [shop, "/api", { ...WITH, method: "PUT", headers: { "X-A": "2", ...json }, body: "{}" }],
  method: [shop, "/api", { ...WITH, method: "DELETE" }],
  lower: [shop, "/api", { ...WITH, method: "patch" }],
  header: [shop, "/api", { ...WITH, headers: { "x-z": "1" } }],
  doubled: [shop, "/doubled", WITH],
  doubled_there: [shop, "/plain/doubled", WITH],
  unauthenticated: [shop, "/guarded", WITH],
  guarded: [shop, "/guarded", { ...WITH, headers: { "X-Say": "yes" } }],
  denied: [shop, "/denied", WITH],
  down: [shop, "/down", WITH],
  literal: [shop, "/all", { ...WITH, method: "PURGE", headers: { "X-Any": "1" } }],
  bearer: [shop, "/all", { ...WITH, headers: { authorization: "Bearer x" } }],
  stranger: [stranger, "/api", WITH],
  stranger_put: [stranger, "/api", { ...WITH, method: "PUT" }],
  public: [stranger, "/public", { ...WITHOUT, method: "PURGE", headers: { "X-Any": "1" } }],
  public_bearer: [stranger, "/public", { ...WITHOUT, headers: { authorization: "Bearer x" } }],
  public_with: [stranger, "/public", WITH],
};

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const seen = {};
try {
  const context = await browser.newContext();
  const pages = {};
  for (const origin of [shop, stranger]) {
    pages[origin] = await context.newPage();
    await pages[origin].goto(origin);
  }
  for (const [scene, [origin, path, options]] of Object.entries(ASKED))
    seen[scene] = await pages[origin].evaluate(async ([url, options]) => {
      try {
        const answer = await fetch(url, options);
        return { status: answer.status, body: await answer.text(),
          shown: answer.headers.get("x-b"), hidden: answer.headers.get("x-c") };
      } catch (error) {
        return { refused: error.name };
      }
    }, [api + path, options]);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
