// Upstreams: each endpoint with its state, why it is so, its load, and the drain button.
import "../lib/sheet.js";
import { html, useState } from "../lib/ui.js";
import { send, usePolled } from "../lib/api.js";
import { ago, count, cut, digits, ms, percent, rate } from "../lib/format.js";
import { Badge, Empty, Failure, Heading, Icon, Notice } from "../lib/parts.js";

const SHOWN = 100; // upstreams at once
const KINDS = { up: "good", drained: "plain", broken: "warn", ejected: "bad", down: "bad" };
const WORDS = {
  up: "up", drained: "drained", broken: "breaker open", ejected: "ejected", down: "down",
};
const NO_TOKEN = "Changes by this port need a token: write token in [admin] and reload, or let the admin port listen on a Unix socket.";

export function Page({ params }) {
  const upstreams = usePolled("/api/upstreams", 2000);
  const rates = usePolled("/api/rates?points=0", 2000);
  const info = usePolled("/api/info", 0);
  const [typed, type] = useState(params.q ?? "");
  const [outcome, tell] = useState(null);
  const [closed, close] = useState("");
  const known = new Map((rates.data?.upstreams ?? []).map((one) => [one.upstream, one]));
  const all = Object.entries(upstreams.data ?? {});
  const wanted = typed.toLowerCase();
  const found = all.filter(([name, one]) => !wanted || `${name} ${(one.endpoints ?? []).map((e) => e.url).join(" ")}`.toLowerCase().includes(wanted));
  const change = async (name, endpoint, what) => {
    try {
      const said = await send("POST", `/upstreams/${encodeURIComponent(name)}/${encodeURIComponent(endpoint.url)}/${what}`);
      tell({ said: String(said) });
    } catch (error) {
      if (error.status === 403) close(/token/.test(error.message) ? NO_TOKEN : error.message);
      tell({ error: failed(error) });
    }
  };
  const reason = closed || (typeof info.data?.changes === "string" ? info.data.changes : "");
  return html`
    <${Heading} title="Upstreams" note="Where requests go: each endpoint, its state, and why it is so.">
      ${all.length > 3 && html`<label class="field w-l">Find <input type="search" value=${typed} placeholder="upstream or address" onInput=${(event) => type(event.target.value)} /></label>`}
    <//>
    <${Failure} error=${upstreams.error} />
    <div role="status">${outcome && (outcome.error ? html`<${Notice} kind="bad">${cut(outcome.error, 400)}<//>` : html`<${Notice} kind="good">${cut(outcome.said, 400)}<//>`)}</div>
    ${reason && html`<p id="closed" class="muted small"><${Icon} name="info" /> Endpoints cannot be drained from here. ${cut(reason, 300)}</p>`}
    ${upstreams.data && !all.length && html`<div class="card"><${Empty} title="There are no upstreams">No route sends requests on.<//></div>`}
    ${found.slice(0, SHOWN).map(([name, one]) => html`<${Upstream} key=${name} name=${name} one=${one} now=${known.get(name)} change=${change} reason=${reason} />`)}
    ${all.length > 0 && !found.length && html`<div class="card"><${Empty} title="No upstream has that in it" /></div>`}
    ${found.length > SHOWN && html`<p class="muted">and ${count(found.length - SHOWN)} more: write more above to find them.</p>`}`;
}

function failed(error) {
  if (error.status === 401) return "Nothing was changed, for no token was given.";
  if (error.status === 403) return /token/.test(error.message) ? `Nothing was changed. ${NO_TOKEN}` : `Nothing was changed: ${error.message}`;
  if (error.status === 404) return `Nothing was changed, for it is gone by now: ${error.message}`;
  return `Nothing was changed: ${error.message}`;
}

function Upstream({ name, one, now, change, reason }) {
  const endpoints = [...(one.endpoints ?? [])].sort((a, b) => (a.url < b.url ? -1 : 1));
  const up = endpoints.filter((endpoint) => endpoint.state === "up").length;
  return html`
    <section class="card flush" data-upstream=${name} aria-label=${`upstream ${cut(name, 80)}`}>
      <div class="inset up-head">
        <h2 class="text">${cut(name, 120)}</h2>
        <${Badge} kind=${up === endpoints.length && up ? "good" : up ? "warn" : "bad"}>${up} of ${endpoints.length} up<//>
        <span class="muted small">balance ${cut(one.balance, 40)}</span>
        <dl class="numbers">
          <div><dt>Tries</dt><dd>${rate(now?.rate)}</dd></div>
          <div><dt>Failed</dt><dd>${now?.errors > 0 ? html`<${Badge} kind="bad">${rate(now.errors)}<//>` : rate(now ? 0 : null)}</dd></div>
          <div><dt>p50</dt><dd>${ms(now?.p50_ms)}</dd></div><div><dt>p99</dt><dd>${ms(now?.p99_ms)}</dd></div>
        </dl>
      </div>
      ${one.limits && html`<${Limits} limits=${one.limits} />`}
      <ul class="endpoints">${endpoints.map((endpoint) => html`
        <${Endpoint} key=${endpoint.url} endpoint=${endpoint} last=${endpoint.state === "up" && up === 1}
          change=${(what) => change(name, endpoint, what)} reason=${reason} />`)}</ul>
      ${one.splits && html`<${Splits} splits=${one.splits} />`}
    </section>`;
}

function Endpoint({ endpoint, last, change, reason }) {
  const [sure, ask] = useState(false);
  const what = endpoint.drained ? "undrain" : "drain";
  const press = () => {
    if (what === "drain" && last && !sure) { ask(true); return; }
    ask(false);
    change(what);
  };
  const { probe, ejection, active } = endpoint;
  return html`
    <li class="endpoint" data-endpoint=${endpoint.url}>
      <div class="ep-what"><span class="mono text">${cut(endpoint.url, 200)}</span>
        <p class="small muted text">${cut(endpoint.why, 400)}</p></div>
      <div class="ep-state"><${Badge} kind=${KINDS[endpoint.state] ?? "warn"}>${WORDS[endpoint.state] ?? cut(endpoint.state, 30)}<//>
        ${ejection && html`<span class="small muted">${ejection.until ? `until ${new Date(ejection.until).toLocaleTimeString()}` : `${ejection.times} times so far`}</span>`}</div>
      <dl class="numbers">
        <div><dt>Requests</dt><dd>${count(active?.requests)}</dd></div>
        <div><dt>Connections</dt><dd>${count(active?.connections)}</dd></div>
        <div><dt>Weight</dt><dd>${digits(endpoint.weight)}</dd></div>
        ${typeof endpoint.latency_ewma_seconds === "number" && html`<div><dt>Latency</dt><dd>${ms(endpoint.latency_ewma_seconds * 1000)}</dd></div>`}
        ${probe && html`<div><dt>Probed</dt><dd title=${cut(probe.said, 200)}><${Icon} name=${probe.ok ? "good" : "bad"} /><span class="unseen">${probe.ok ? "well" : "badly"}</span> ${ago(Date.parse(probe.at))}</dd></div>`}
      </dl>
      <div class="ep-do">
        <button type="button" disabled=${Boolean(reason)} aria-describedby=${reason ? "closed" : undefined} onClick=${press} onBlur=${() => ask(false)}>
          ${what === "drain" ? "Drain" : "Take back"}<span class="unseen"> ${cut(endpoint.url, 80)}</span></button>
        ${sure && html`<p class="small warn" role="alert"><${Icon} name="warn" /> It is the last one that is up. Press again to drain it.</p>`}
      </div>
    </li>`;
}

/** What each limit allows and how much of it is used. */
const Limits = ({ limits }) => html`
  <dl class="numbers inset">${Object.entries(limits).map(([name, { limit, used }]) => html`
    <div><dt>${cut(name.replaceAll("_", " "), 40)}</dt><dd>${count(used ?? 0)}${limit === null ? ", no limit" : ` of ${count(limit)}`}</dd></div>`)}</dl>`;

const Splits = ({ splits }) => html`
  <div class="scroll" tabindex="0" role="group" aria-label="Sides of a split"><table class="plain stacked">
    <thead><tr><th>Route</th><th>Side</th><th class="num">Share</th><th class="num">Requests</th><th class="num">Failed</th><th class="num">p50</th><th class="num">p99</th></tr></thead>
    <tbody>${splits.flatMap(({ route, sides }) => Object.entries(sides).map(([side, told]) => html`
      <tr><td class="text" data-label="Route">${cut(route, 80)}</td><td class="text" data-label="Side">${cut(side, 80)}</td><td class="num" data-label="Share">${percent(told.share)}</td>
        <td class="num" data-label="Requests">${count(told.requests)}</td><td class="num" data-label="Failed">${percent(told.error_rate)}</td>
        <td class="num" data-label="p50">${ms(told.p50_seconds === null ? null : told.p50_seconds * 1000)}</td><td class="num" data-label="p99">${ms(told.p99_seconds === null ? null : told.p99_seconds * 1000)}</td></tr>`))}
    </tbody></table></div>`;
