// Opens a page of the demo and prints, as JSON, what it shows once everything on it has come.
//
//   node visit.mjs CHROMIUM URL
import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (line) => line.type() === "error" && problems.push(line.text()));
  await page.goto(url);
  await page.locator("#events li").first().waitFor();
  await page.getByText("the shop heard: hello").waitFor();
  await page.getByRole("textbox").fill("one pot");
  await page.getByRole("button").click();
  await page.getByText("the shop heard: one pot").waitFor();
  await page.evaluate(() => socket.close(1000));
  await page.getByText("closed (1000)").waitFor();
  console.log(JSON.stringify({
    protocol: await page.locator("#protocol").textContent(),
    hop: await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol),
    event: await page.locator("#events li").first().textContent(),
    problems,
  }));
} finally {
  await browser.close();
}
