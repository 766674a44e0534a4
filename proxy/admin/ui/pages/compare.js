// Compare: two traces span by span, how much slower each one is, and what only one of them has.
import { html, useMemo, useState } from "../lib/ui.js";
import { usePolled } from "../lib/api.js";
import { Checked, Typed } from "../lib/filters.js";
import { count, cut, moment, ms, percent, shortId, us } from "../lib/format.js";
import { Badge, Empty, Failure, Heading, Icon } from "../lib/parts.js";
import { Names } from "../lib/names.js";
import { difference, paired } from "../lib/pairs.js";
import { go, traceUrl, url } from "../lib/router.js";
import { Table } from "../lib/table.js";

const ID = /^[0-9a-f]{32}$/i;
const apiUrl = (id) => (ID.test(id ?? "") ? `/api/traces/${id.toLowerCase()}` : null);

export function Page({ params }) {
  const { a = "", b = "" } = params;
  const one = usePolled(apiUrl(a), 0);
  const other = usePolled(apiUrl(b), 0);
  const set = (changes) => go(url("compare", { a, b, ...changes }), { replace: true });
  const both = one.data && other.data;
  return html`
    <${Heading} title="Compare" note="Spans are paired by who, whom and what: the first of its like with the first." >
      ${a && b && html`<button type="button" onClick=${() => set({ a: b, b: a })}><${Icon} name="swap" /> Swap A and B</button>`}
    <//>
    <div class="sides">
      <${Side} name="A" id=${a} found=${one} onId=${(id) => set({ a: id })} />
      <${Side} name="B" id=${b} found=${other} onId=${(id) => set({ b: id })} base=${one.data} />
    </div>
    ${both ? html`<${Lines} a=${one.data} b=${other.data} />`
      : html`<section class="card"><${Empty} title="Two traces are needed">Give their ids above, or mark two in <a href="/ui/traces">Traces</a>.<//></section>`}`;
}

function Side({ name, id, found, onId, base }) {
  const trace = found.data;
  return html`
    <section class="card stack" aria-label=${`Trace ${name}`}>
      <${Typed} label=${`Trace ${name}: its id`} value=${id} placeholder="32 hexadecimal digits" width="w-l whole"
        onValue=${(text) => onId(text.trim())} />
      ${id && !ID.test(id) && html`<p class="notice warn"><${Icon} name="warn" /> An id has 32 hexadecimal digits.</p>`}
      <${Failure} error=${found.error?.status === 404 ? { message: "This trace is not kept here." } : found.error} />
      ${trace && html`<div class="stack">
        <h2 class="text"><a href=${traceUrl(trace.trace_id)}>${cut(trace.spans[0]?.name || shortId(trace.trace_id), 120)}</a></h2>
        <dl class="tiles">
          <div><dt>Duration</dt><dd>${ms(trace.duration_ms)} ${base && html`<${Change} from=${base.duration_ms * 1000} to=${trace.duration_ms * 1000} />`}</dd></div>
          <div><dt>Spans</dt><dd>${count(trace.spans.length)}</dd></div>
          <div><dt>Failed</dt><dd>${count(trace.spans.filter((span) => span.status === "error").length)}</dd></div>
          <div class="small-value"><dt>Began</dt><dd>${moment(trace.start_unix_ms)}</dd></div>
        </dl></div>`}
    </section>`;
}

/** How `to` differs from `from`, both in µs: a sign, a word, and the share. */
function Change({ from, to }) {
  const delta = to - from;
  if (Math.abs(delta) < Math.max(1, from * 0.005)) return html`<span class="change muted">the same</span>`;
  const slower = delta > 0;
  return html`<span class=${`change ${slower ? "bad" : "good"}`}>${slower ? "▲ +" : "▼ −"}${us(Math.abs(delta))}
    <span class="small"> ${from > 0 ? percent(Math.abs(delta) / from) : ""} ${slower ? "slower" : "faster"}</span></span>`;
}

const ORDERS = { tree: null, most: (one, other) => size(other) - size(one) };
const size = (line) => Math.abs(difference(line) ?? (line.a ?? line.b).duration_us);

function Lines({ a, b }) {
  const [order, setOrder] = useState("tree");
  const [only, setOnly] = useState(false);
  const lines = useMemo(() => paired(a.spans, b.spans), [a, b]);
  const most = useMemo(() => lines.reduce((top, { a: one, b: other }) =>
    Math.max(top, one?.duration_us ?? 0, other?.duration_us ?? 0), 1), [lines]);
  const alone = lines.filter((line) => !line.a || !line.b);
  const shown = useMemo(() => {
    const kept = only ? alone : lines;
    return ORDERS[order] ? [...kept].sort(ORDERS[order]) : kept;
  }, [lines, only, order]);
  const columns = useMemo(() => lineColumns(most, order === "tree"), [most, order]);
  return html`
    <section class="card flush" aria-label="Spans of both">
      <div class="strip">
        <p class="small muted" role="status">${told(lines)}</p>
        <div class="push tools" role="group" aria-label="Order">
          <${Checked} label="Only in one" value=${only} onValue=${setOnly} />
          <button type="button" aria-pressed=${order === "tree"} onClick=${() => setOrder("tree")}>As in the trace</button>
          <button type="button" aria-pressed=${order === "most"} onClick=${() => setOrder("most")}>Largest difference first</button>
        </div>
      </div>
      ${shown.length ? html`<${Table} label="Spans of both traces" columns=${columns} rows=${shown} rowKey=${(line) => line.key} rowHeight=${46}
        isFailed=${({ a: one, b: other }) => one?.status === "error" || other?.status === "error"}
        height=${`min(${shown.length * 46 + 42}px, 70vh)`}
        open=${(line) => go(`${traceUrl((line.b ? b : a).trace_id)}?span=${(line.b ?? line.a).span_id}`)} />`
        : html`<${Empty} title="Both traces have the same spans" />`}
    </section>`;
}

function told(lines) {
  const [onlyA, onlyB] = [lines.filter((line) => !line.b).length, lines.filter((line) => !line.a).length];
  return `${count(lines.length - onlyA - onlyB)} pairs, ${count(onlyA)} only in A, ${count(onlyB)} only in B.`;
}

const lineColumns = (most, tree) => [
  { title: "Span", width: "minmax(0, 5fr)", narrow: "minmax(0, 1fr)", cell: (line) => html`<${Name} line=${line} tree=${tree} />` },
  { title: "A and B", width: "minmax(0, 3fr)", cell: (line) => html`<${Bars} line=${line} most=${most} />` },
  { title: "A", width: "6rem", num: true, cell: (line) => html`<${Time} span=${line.a} />` },
  { title: "B", width: "6rem", num: true, cell: (line) => html`<${Time} span=${line.b} />` },
  { title: "B compared with A", width: "14rem", narrow: "9.4rem", cell: (line) => html`<${Verdict} line=${line} />` },
];

function Name({ line, tree }) {
  const span = line.a ?? line.b;
  return html`<span style=${{ paddingLeft: tree ? `${Math.min(line.depth, 20) * 12}px` : "0" }} title=${cut(span.name, 300)}>
    <${Names} span=${span} /></span>`;
}

const Time = ({ span }) => (span ? html`<span>${span.status === "error" ? html`<span class="bad"><${Icon} name="bad" /><span class="unseen">failed, </span></span> ` : ""}${us(span.duration_us)}</span>`
  : html`<span class="muted">–</span>`);

const Bars = ({ line, most }) => html`
  <div class="twin" aria-hidden="true">
    ${line.a && html`<span class="first" style=${{ width: `${Math.max(0.5, (line.a.duration_us / most) * 100)}%` }} />`}
    ${line.b && html`<span class="second" style=${{ width: `${Math.max(0.5, (line.b.duration_us / most) * 100)}%` }} />`}
  </div>`;

function Verdict({ line }) {
  if (!line.b) return html`<${Badge} kind="warn">only in A<//>`;
  if (!line.a) return html`<${Badge} kind="warn">only in B<//>`;
  return html`<${Change} from=${line.a.duration_us} to=${line.b.duration_us} />`;
}
