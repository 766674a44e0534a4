// Live: what every route does now, and each request as it comes.
import { html, useMemo, useState } from "../lib/ui.js";
import { usePolled } from "../lib/api.js";
import { Chart } from "../lib/chart.js";
import { Checked, Chosen, Typed, useFilters } from "../lib/filters.js";
import { clock, count, cut, digits, ms, percent, rate, shortId } from "../lib/format.js";
import { Empty, Failure, Heading, Icon, Status } from "../lib/parts.js";
import { go, traceUrl } from "../lib/router.js";
import { Spark } from "../lib/spark.js";
import { Table } from "../lib/table.js";
import { FILTERS, MOST, useTap } from "../lib/tap.js";

const SHOWN = 8; // routes, of which the busiest come first

export function Page({ params }) {
  const rates = usePolled("/api/rates", 1000);
  const info = usePolled("/api/info", 0);
  const filter = useFilters("", params);
  const names = JSON.stringify((rates.data?.routes ?? []).map((r) => r.route).sort());
  const routes = useMemo(() => JSON.parse(names), [names]);
  return html`
    <${Heading} title="Live" note="Every request as it is answered, sampled or not.">
      <${Totals} total=${rates.data?.total} />
    <//>
    <${Failure} error=${rates.error} />
    <${Demo} demo=${info.data?.demo} />
    <${Routes} rates=${rates.data} chosen=${params.route} choose=${(route) => filter({ route })} />
    <${Requests} params=${params} filter=${filter} routes=${routes} />`;
}

function Requests({ params, filter, routes }) {
  const [paused, setPaused] = useState(false);
  const tap = useTap(params, paused);
  return html`
    <section class="card flush" aria-labelledby="requests">
      <div class="strip">
        <h2 id="requests">Requests</h2>
        <${State} tap=${tap} paused=${paused} />
        <div class="tools push">
          <button type="button" aria-pressed=${paused} onClick=${() => setPaused(!paused)}>
            <${Icon} name=${paused ? "play" : "pause"} /> ${paused ? "Resume" : "Pause"}</button>
          <button type="button" onClick=${tap.clear}>Clear</button>
        </div>
      </div>
      <${Filters} params=${params} filter=${filter} routes=${routes} />
      <${Failure} error=${tap.state === "refused" ? tap.error : null} />
      <${List} rows=${tap.rows} narrowed=${FILTERS.some((name) => params[name])} />
    </section>`;
}

const Totals = ({ total }) => total && html`
  <dl class="tiles">
    <div><dt>Requests</dt><dd>${rate(total.rate)}</dd></div>
    <div><dt>Errors</dt><dd class=${total.errors > 0 ? "bad" : ""}>${rate(total.errors)}</dd></div>
    <div><dt>Median</dt><dd>${ms(total.p50_ms)}</dd></div>
    <div><dt>99th percentile</dt><dd>${ms(total.p99_ms)}</dd></div>
  </dl>`;

function Routes({ rates, chosen, choose }) {
  const [all, setAll] = useState(false);
  if (!rates?.routes.length) return null;
  const sorted = [...rates.routes].sort((a, b) => b.rate - a.rate || (b.route < a.route ? 1 : -1));
  const most = all ? sorted : sorted.slice(0, SHOWN);
  return html`
    <section aria-label="Routes">
      <div class="cards routes">
        ${most.map((route) => html`<${Route} key=${route.route} route=${route}
          chosen=${route.route === chosen} choose=${choose} />`)}
      </div>
      <${Close} route=${sorted.find((route) => route.route === chosen)} />
      ${sorted.length > SHOWN && html`<p class="tools more"><button type="button" class="quiet"
        aria-expanded=${all} onClick=${() => setAll(!all)}>${all ? "Show the busiest" : `Show all ${sorted.length} routes`}</button></p>`}
    </section>`;
}

/** The chosen route's last minutes with axes. */
function Close({ route }) {
  const history = route?.history;
  const drawn = useMemo(() => history && {
    times: history.map(([at]) => at / 1000),
    rates: [
      { name: "requests", values: history.map((one) => one[1]), colour: "--p-first", format: rate },
      { name: "errors", values: history.map((one) => one[2]), colour: "--bad", dash: [3, 3], format: rate },
    ],
    times_taken: [
      { name: "p99", values: history.map((one) => one[4]), colour: "--p-connect", dash: [6, 3], format: ms },
      { name: "p50", values: history.map((one) => one[3]), colour: "--p-first", format: ms },
    ],
  }, [history]);
  if (!drawn) return null;
  const name = cut(route.route, 60);
  return html`
    <section class="card sides close" key=${route.route} aria-label=${`Route ${name}`}>
      <div><h3 class="text">${name}: requests and errors</h3>
        <${Chart} times=${drawn.times} lines=${drawn.rates} label=${`${name}: ${rate(route.rate)}, errors ${rate(route.errors)}`} /></div>
      <div><h3 class="text">${name}: time taken</h3>
        <${Chart} times=${drawn.times} lines=${drawn.times_taken} label=${`${name}: median ${ms(route.p50_ms)}, 99th percentile ${ms(route.p99_ms)}`} /></div>
    </section>`;
}

function Route({ route, chosen, choose }) {
  const { history } = route;
  const column = (index) => history.map((entry) => entry[index]);
  const share = route.rate > 0 ? route.errors / route.rate : 0;
  const name = cut(route.route || "(no route)", 60);
  return html`
    <article class=${`card route${chosen ? " chosen" : ""}`}>
      <div class="strip flat">
        <h3 class="clip"><button type="button" class="bare" aria-pressed=${chosen} title="Show this route's requests"
          onClick=${() => choose(chosen ? "" : route.route)}>${name}</button></h3>
        <strong class="big push">${rate(route.rate)}</strong>
      </div>
      <${Spark} height=${46} lines=${[{ values: column(1), kind: "area" }, { values: column(1), kind: "line" }, { values: column(2), kind: "bars" }]}
        label=${`${name}: requests a second over ${history.length} s, now ${digits(route.rate)}; errors ${digits(route.errors)} a second`} />
      <div class="strip flat small">
        <span class=${share > 0 ? "bad" : "muted"}>${share > 0 && html`<${Icon} name="bad" /> `}${percent(share)} errors</span>
        <span class="push muted">p50 ${ms(route.p50_ms)} · p99 ${ms(route.p99_ms)}</span>
      </div>
      <${Spark} height=${24} lines=${[{ values: column(4), kind: "faint" }, { values: column(3), kind: "line" }]}
        label=${`${name}: median ${ms(route.p50_ms)}, 99th percentile ${ms(route.p99_ms)}`} />
    </article>`;
}

const STATES = { open: "", waiting: "Connecting…", refused: "Refused" };

function State({ tap, paused }) {
  const told = paused ? `Paused, ${count(tap.waiting)} newer` : STATES[tap.state];
  return html`
    <span class=${`state ${paused ? "paused" : tap.state}`} role="status">${told || html`<span class="pulse" /> Listening`}</span>
    ${tap.missed > 0 && html`<span class="badge warn" title="This page was too slow for them, or the network was">
      <${Icon} name="warn" /> ${count(tap.missed)} not shown</span>`}
    <span class="muted small">${count(tap.rows.length)} of at most ${count(MOST)}</span>`;
}

const Filters = ({ params, filter, routes }) => html`
  <form class="tools filters" role="search" aria-label="Filter requests" onSubmit=${(event) => event.preventDefault()}>
    <${Chosen} label="Route" value=${params.route} options=${[["", "All routes"], ...routes]} onValue=${(route) => filter({ route })} />
    <${Typed} label="Status" value=${params.status} placeholder="5xx, 404" width="w-s" onValue=${(status) => filter({ status })} />
    <${Typed} label="At least, ms" value=${params.min_ms} placeholder="100" inputmode="decimal" width="w-s"
      onValue=${(text) => filter({ min_ms: Number.isFinite(Number.parseFloat(text)) ? Number.parseFloat(text) : "" })} />
    <${Typed} label="Method" value=${params.method} placeholder="GET, POST" width="w-s" onValue=${(method) => filter({ method })} />
    <${Typed} label="Path" value=${params.path} placeholder="/orders/*" width="w-l" onValue=${(path) => filter({ path })} />
    <${Checked} label="Errors only" value=${params.error === "true"} onValue=${(on) => filter({ error: on ? "true" : "" })} />
    ${FILTERS.some((name) => params[name]) && html`<button type="button" class="quiet"
      onClick=${() => filter(Object.fromEntries(FILTERS.map((name) => [name, ""])))}><${Icon} name="close" /> No filters</button>`}
  </form>`;

const COLUMNS = [
  { title: "Time", width: "7.4rem", cell: (r) => html`<span class="mono muted">${clock(r.time_unix_ms)}</span>` },
  { title: "Status", width: "4.6rem", narrow: "4rem", cell: (r) => html`<${Status} status=${r.status} error=${r.error} />` },
  { title: "Method", width: "4.2rem", narrow: "3.2rem", cell: (r) => html`<span class="mono">${cut(r.method, 12)}</span>` },
  { title: "Path", width: "minmax(0, 4fr)", narrow: "minmax(0, 1fr)", cell: (r) => html`<span class="mono" title=${cut(r.path, 500)}>${cut(r.path, 200)}${r.query && html`<span class="muted">?${cut(r.query, 100)}</span>`}</span>` },
  { title: "Time taken", width: "5.6rem", narrow: "4.6rem", num: true, cell: (r) => ms(r.duration_ms) },
  { title: "Route", width: "minmax(0, 1.2fr)", cell: (r) => cut(r.route || "–", 60) },
  { title: "Upstream", width: "minmax(0, 2fr)", cell: (r) => html`${cut(r.upstream || "–", 60)} <span class="muted mono">${cut(r.address, 60)}</span>` },
  { title: "Tries", width: "3rem", num: true, cell: (r) => (r.tries > 1 ? html`<strong>${r.tries}</strong>` : r.tries) },
  { title: "Why", width: "minmax(0, 1.2fr)", cell: (r) => r.error && html`<span class="bad">${cut(r.error, 60)}</span>` },
  { title: "Trace", width: "5.4rem", cell: (r) => (r.sampled
    ? html`<a class="mono" href=${traceUrl(r.trace_id)} tabindex="-1">${shortId(r.trace_id)}</a>`
    : html`<span class="muted" title="Not sampled: there are no spans of it">no trace</span>`) },
];

function List({ rows, narrowed }) {
  if (!rows.length)
    return html`<${Empty} title=${narrowed ? "No request has passed the filters yet" : "No request yet"}>
      ${narrowed ? "They are applied to what comes from now on." : "Send one through the gateway: it appears here when it is answered."}<//>`;
  return html`<${Table} label="Requests, newest first" columns=${COLUMNS} rows=${rows} rowKey=${(r) => r.key}
    open=${(r) => r.sampled && go(traceUrl(r.trace_id))} isFailed=${(r) => r.error !== "" || r.status >= 500}
    rowHeight=${34} height="max(22rem, calc(100vh - 21rem))" />`;
}

function Demo({ demo }) {
  const [sent, setSent] = useState("");
  if (!demo?.requests?.length) return null;
  const press = async (request) => {
    setSent(`${request.label}: sent`);
    // Of another origin: what it answers is not for this page, which sees the request by the tap.
    const answer = fetch(request.url, { method: request.method, mode: "no-cors", cache: "no-store" });
    await answer.then(() => setSent(`${request.label}: answered`), () => setSent(`${request.label}: no answer`));
  };
  return html`
    <section class="card demo" aria-labelledby="try">
      <h2 id="try">Try it</h2>
      <div class="tools">
        ${demo.requests.map((request) => html`<button type="button" class="offer" onClick=${() => press(request)}>
          <strong>${cut(request.label, 60)}</strong><span class="muted small">${cut(request.what, 120)}</span></button>`)}
        <span role="status" class="muted">${sent}</span>
      </div>
    </section>`;
}
