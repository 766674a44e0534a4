// The shell: which page is shown, the theme, and the question for a token. It knows no page's
// contents; a page is a module in pages/ whose `Page({params})` is drawn into <main>.
import "./theme.js";
import { html, render, signal, useEffect, useErrorBoundary, useRef } from "./lib/ui.js";
import { asking, getJson, giveToken } from "./lib/api.js";
import { Failure, Heading, Icon } from "./lib/parts.js";
import { here, takeLinks } from "./lib/router.js";

const TITLES = {
  live: "Live", traces: "Traces", trace: "Trace", compare: "Compare", map: "Map", routes: "Routes",
  upstreams: "Upstreams", telemetry: "Telemetry", doctor: "Doctor", config: "Configuration",
};
const PARENTS = { trace: "traces", compare: "traces" }; // whose place in the navigation they have
const main = document.getElementById("main");
const modules = signal({}); // by page: {Page} or {error}
const begun = new Set();
let shown = null; // the page that was shown last

async function load(page) {
  if (page in modules.peek() || begun.has(page)) return;
  begun.add(page);
  let found;
  try {
    found = await import(`./pages/${page}.js`);
  } catch (error) {
    console.info(`page ${page}:`, error);
    found = { error };
  }
  modules.value = { ...modules.value, [page]: found };
}

function App() {
  const { page, params } = here.value;
  const known = page in TITLES;
  const module = modules.value[page];
  useEffect(() => { if (known) load(page); }, [page]);
  useEffect(() => {
    document.title = `${TITLES[page] ?? "Not found"} · Spangate`;
    mark(PARENTS[page] ?? page);
    if (shown !== null && shown !== page) main.focus({ preventScroll: true }); // where Tab goes on from
    shown = page;
  }, [page]);
  if (!known) return html`<${Missing} title="No such page" text="Nothing is shown under this address." />`;
  if (!module) return null;
  if (!module.Page) return html`<${Missing} title=${TITLES[page]} text="This page is not part of this gateway." />`;
  return html`<${Guarded} key=${page} Page=${module.Page} params=${params} />`;
}

const Missing = ({ title, text }) => html`<${Heading} title=${title} /><p>${text}</p>`;

function Guarded({ Page, params }) {
  const [error] = useErrorBoundary((failure) => console.error(failure));
  if (error) return html`<${Heading} title="This page has failed" /><${Failure} error=${error} />`;
  return html`<${Page} params=${params} />`;
}

function mark(page) {
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.page !== page) { link.removeAttribute("aria-current"); continue; }
    link.setAttribute("aria-current", "page");
    link.parentElement.scrollLeft = link.offsetLeft - link.parentElement.offsetLeft - 24;
  }
}

const info = signal(null);
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = signal(document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light"));

function turnTheme() {
  theme.value = theme.value === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme.value;
  try { localStorage.setItem("spangate-theme", theme.value); } catch { /* for this page then */ }
}

const Side = () => html`
  ${info.value?.version && html`<span class="version">${info.value.service || "spangate"} ${info.value.version}</span>`}
  <button type="button" class="quiet" aria-pressed=${theme.value === "dark"} onClick=${turnTheme}>
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="M13.5 9.6A6 6 0 1 1 6.4 2.5a4.8 4.8 0 0 0 7.1 7.1z" /></svg>
    <span>Dark</span></button>`;

function Over() {
  const dialog = useRef(null);
  const question = asking.value;
  useEffect(() => { if (question && dialog.current && !dialog.current.open) dialog.current.showModal(); }, [question]);
  if (!question) return null;
  const submit = (event) => {
    event.preventDefault();
    giveToken(event.target.elements.token.value);
  };
  return html`
    <dialog ref=${dialog} aria-labelledby="asked" onCancel=${() => giveToken("")}>
      <form onSubmit=${submit}>
        <h2 id="asked">This gateway asks for a token</h2>
        <p class="muted">It is what [admin] token says in the configuration. It is kept in this tab until you close it.</p>
        ${question.wrong && html`<p class="notice bad" role="alert"><${Icon} name="bad" /> That is not the token.</p>`}
        <label class="field">Token <input name="token" type="password" autocomplete="off" required autofocus /></label>
        <div class="tools"><button type="submit" class="main">Use it</button></div>
      </form>
    </dialog>`;
}

takeLinks(document);
if (here.value.page in TITLES) load(here.value.page);
main.textContent = "";
render(html`<${App} />`, main);
render(html`<${Side} />`, document.getElementById("side"));
render(html`<${Over} />`, document.getElementById("over"));
getJson("/api/info").then((told) => { info.value = told; }, () => {});
