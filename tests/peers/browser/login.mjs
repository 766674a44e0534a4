// Logs in at a page behind `oidc`, as people do, and prints as JSON what was seen in each scene.
//
//   node login.mjs CHROMIUM URL_OF_THE_SITE URL_OF_ANOTHER_SITE
import { chromium } from "playwright-core";

const [executablePath, site, other] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const seen = {};
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const shown = () => page.locator("h1").innerText();
  const asked = () => page.evaluate(async () => (await fetch("/data")).status);
  const cookies = async () => (await context.cookies(site)).map((c) => [c.name, c.secure, c.httpOnly, c.sameSite]);

  await page.goto(`${site}/orders?a=1`);
  seen.login = { url: page.url(), shown: await shown(), fetch: await asked(), cookies: await cookies(),
    script: await page.evaluate(() => document.cookie) };

  await page.reload();
  seen.reload = { url: page.url(), shown: await shown() };

  await page.goto(`${other}/page`);
  await page.setContent(`<form method="post" action="${site}/oauth2/logout"><button>prize</button></form>
    <img src="${site}/oauth2/logout">`);
  await page.getByText("prize").click();
  await page.getByText("Log out?").first().waitFor();
  await page.goto(`${site}/orders`);
  seen.another_site = { shown: await shown(), cookies: await cookies() };

  await page.goto(`${site}/oauth2/logout`);
  await page.waitForURL(`${other}/end**`);
  seen.logout = { url: page.url(), cookies: await cookies() };

  const tabs = await Promise.all([1, 2, 3, 4].map(() => context.newPage()));
  await Promise.all(tabs.map((tab, i) => tab.goto(`${site}/tab/${i}`)));
  seen.tabs = { urls: tabs.map((tab) => new URL(tab.url()).pathname), cookies: await cookies() };

  await context.clearCookies();
  seen.without = { fetch: await tabs[0].evaluate(async () => (await fetch("/data")).status), cookies: await cookies() };
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
