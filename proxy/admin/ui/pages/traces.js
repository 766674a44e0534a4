// Traces: a search over what the gateway keeps, as a picture and as a table.
import { html, useEffect, useMemo, useState } from "../lib/ui.js";
import { usePolled } from "../lib/api.js";
import { Checked, Chosen, Typed, useFilters } from "../lib/filters.js";
import { ago, clock, count, cut, ms, shortId } from "../lib/format.js";
import { Badge, Empty, Failure, Heading, Icon, Status } from "../lib/parts.js";
import { go, traceUrl, url } from "../lib/router.js";
import { Scatter } from "../lib/scatter.js";
import { Table } from "../lib/table.js";

const ASKED = ["route", "service", "min_ms", "error", "since", "q", "limit"];
const TIMES = [["", "All that is kept"], ["30s", "Last 30 s"], ["5m", "Last 5 min"], ["15m", "Last 15 min"], ["1h", "Last hour"], ["24h", "Last day"]];
const LIMITS = [["", "100"], ["50", "50"], ["250", "250"], ["1000", "1,000"]];

function searchUrl(params) {
  const query = new URLSearchParams({ limit: "100" });
  for (const name of ASKED) if (params[name]) query.set(name, params[name]);
  return `/api/traces?${query}`;
}

export function Page({ params }) {
  const [live, setLive] = useState(true);
  const { data, error } = usePolled(searchUrl(params), live ? 1000 : 0);
  const filter = useFilters("traces", params);
  const seen = useLast(data);
  const [marked, setMarked] = useState([]);
  const mark = (trace) => setMarked((old) => (old.includes(trace.trace_id)
    ? old.filter((id) => id !== trace.trace_id) : [...old.slice(-1), trace.trace_id]));
  return html`
    <${Heading} title="Traces" note=${searched(seen)}>
      <button type="button" aria-pressed=${live} onClick=${() => setLive(!live)}>
        <${Icon} name=${live ? "pause" : "play"} /> ${live ? "Pause" : "Resume"}</button>
      <button type="button" class="main" disabled=${marked.length !== 2}
        onClick=${() => go(url("compare", { a: marked[0], b: marked[1] }))}>
        <${Icon} name="swap" /> Compare ${marked.length === 2 ? "the two" : `(${marked.length} of 2)`}</button>
    <//>
    <${Search} params=${params} filter=${filter} traces=${seen?.traces ?? []} />
    <${Failure} error=${error} />
    ${seen && html`<${Found} found=${seen} heat=${params.view === "heat"} turn=${(view) => filter({ view })}
      marked=${marked} mark=${mark} narrowed=${ASKED.some((name) => params[name])} />`}`;
}

// What was found last stays while other words are typed, so that nothing jumps.
function useLast(data) {
  const [last, setLast] = useState(null);
  useEffect(() => { if (data) setLast(data); }, [data]);
  return data ?? last;
}

function searched(found) {
  if (!found) return "Searching…";
  const { spans, traces, oldest_unix_ms: oldest } = found.searched;
  const since = oldest === null ? "" : `, since ${clock(oldest)} (${ago(oldest)})`;
  return `${count(traces)} traces of ${count(spans)} spans are kept here${since}.`;
}

function Search({ params, filter, traces }) {
  const names = useNames(traces);
  return html`
    <form class="card tools search" role="search" aria-label="Search traces" onSubmit=${(event) => event.preventDefault()}>
      <${Typed} label="Words" value=${params.q} placeholder="orders, 503, tenant=blue" width="w-l" onValue=${(q) => filter({ q })} />
      <${Chosen} label="Route" value=${params.route} options=${[["", "All routes"], ...names.routes]} onValue=${(route) => filter({ route })} />
      <${Chosen} label="Service" value=${params.service} options=${[["", "All services"], ...names.services]} onValue=${(service) => filter({ service })} />
      <${Typed} label="At least, ms" value=${params.min_ms} placeholder="100" inputmode="decimal" width="w-s"
        onValue=${(text) => filter({ min_ms: Number.isFinite(Number.parseFloat(text)) ? Number.parseFloat(text) : "" })} />
      <${Chosen} label="Time" value=${params.since} options=${TIMES} onValue=${(since) => filter({ since })} />
      <${Chosen} label="At most" value=${params.limit} options=${LIMITS} width="w-s" onValue=${(limit) => filter({ limit })} />
      <${Checked} label="Failed only" value=${params.error === "true"} onValue=${(on) => filter({ error: on ? "true" : "" })} />
      ${ASKED.some((name) => params[name]) && html`<button type="button" class="quiet"
        onClick=${() => filter(Object.fromEntries(ASKED.map((name) => [name, ""])))}><${Icon} name="close" /> No filters</button>`}
    </form>`;
}

// Names that were seen once can be chosen as long as the page is open.
function useNames(traces) {
  const [known] = useState({ routes: new Set(), services: new Set() });
  return useMemo(() => {
    for (const trace of traces) {
      if (trace.route) known.routes.add(trace.route);
      trace.services.forEach((name) => name && known.services.add(name));
    }
    return { routes: [...known.routes].sort(), services: [...known.services].sort() };
  }, [traces]);
}

function Found({ found, heat, turn, marked, mark, narrowed }) {
  const { traces, more } = found;
  const columns = useMemo(() => tableColumns(marked, mark), [marked]);
  if (!traces.length)
    return html`<section class="card"><${Empty} title=${narrowed ? "No trace is like that" : "No trace yet"}>
      ${narrowed ? "Fewer filters find more; only what is kept here is searched." : "Send a request through the gateway."}<//></section>`;
  const open = (trace) => go(traceUrl(trace.trace_id));
  return html`
    <section class="card" aria-label="Durations over time">
      <div class="strip flat legend">
        <span><span class="key ok" aria-hidden="true" /> fine</span>
        <span class="bad"><${Icon} name="bad" /> failed</span>
        <div class="push tools" role="group" aria-label="Kind of picture">
          <button type="button" aria-pressed=${!heat} onClick=${() => turn("")}>Scatter</button>
          <button type="button" aria-pressed=${heat} onClick=${() => turn("heat")}>Heat map</button>
        </div>
      </div>
      <${Scatter} traces=${traces} heat=${heat} open=${open} marked=${marked} />
    </section>
    <section class="card flush" aria-label="Traces found">
      <p class="strip small muted" role="status">${count(traces.length)} traces, newest first${more ? "; there are more: narrow the search or raise the limit" : ""}. Space or the box marks one to compare.</p>
      <${Table} label="Traces, newest first" columns=${columns} rows=${traces} rowKey=${(t) => t.trace_id} open=${open}
        mark=${mark} isMarked=${(t) => marked.includes(t.trace_id)} isFailed=${(t) => t.error}
        height="max(20rem, calc(100vh - 15rem))" />
    </section>`;
}

const tableColumns = (marked, mark) => [
  { title: "", width: "1.4rem", narrow: "1.3rem", cell: (t) => html`<input type="checkbox" tabindex="-1" checked=${marked.includes(t.trace_id)}
      aria-label=${`Mark trace ${shortId(t.trace_id)} to compare`} onChange=${() => mark(t)} />` },
  { title: "Time", width: "7.4rem", cell: (t) => html`<span class="mono muted">${clock(t.start_unix_ms)}</span>` },
  { title: "Status", width: "4.8rem", narrow: "4rem", cell: (t) => (t.status ? html`<${Status} status=${t.status} error=${t.error ? "x" : ""} />`
      : t.error ? html`<${Badge} kind="bad">failed<//>` : html`<span class="muted">–</span>`) },
  { title: "Name", width: "minmax(0, 3fr)", narrow: "minmax(0, 1fr)", cell: (t) => html`<a href=${traceUrl(t.trace_id)} tabindex="-1" title=${cut(t.name, 300)}>${cut(t.name || "(no name)", 120)}</a>` },
  { title: "Path", width: "minmax(0, 3fr)", cell: (t) => html`<span class="mono">${cut(t.path, 160)}</span>` },
  { title: "Duration", width: "5.6rem", narrow: "4.6rem", num: true, cell: (t) => ms(t.duration_ms) },
  { title: "Spans", width: "3.4rem", num: true, cell: (t) => count(t.spans) },
  { title: "Errors", width: "3.6rem", num: true, cell: (t) => (t.errors ? html`<strong class="bad">${count(t.errors)}</strong>` : html`<span class="muted">0</span>`) },
  { title: "Services", width: "minmax(0, 2fr)", cell: (t) => cut(t.services.filter(Boolean).join(", "), 120) },
  { title: "Trace", width: "5.4rem", cell: (t) => html`<span class="mono muted">${shortId(t.trace_id)}</span>` },
];
