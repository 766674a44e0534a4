// When a page shows something for the first time, in ms, of eight visits with nothing kept between:
// node tests/peers/browser/paint.mjs CHROMIUM URL
import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const painted = () =>
  performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
const seen = [];
try {
  for (let visit = 0; visit < 8; visit++) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length);
    seen.push(Math.round(await page.evaluate(painted)));
    await context.close();
  }
} finally {
  await browser.close();
}
console.log(seen.join(" "));
