// Trace: one trace as a waterfall, what the selected span says, and the log records that belong to it.
import { html, useEffect, useMemo, useRef, useState } from "../lib/ui.js";
import { getJson, usePolled } from "../lib/api.js";
import { asked, curl } from "../lib/curl.js";
import { Detail, Value, Words } from "../lib/detail.js";
import { count, cut, httpUrl, moment, ms, shortId, us } from "../lib/format.js";
import { Badge, Copy, Empty, Failure, Heading, Icon, Outside, Status } from "../lib/parts.js";
import { url } from "../lib/router.js";
import { below, colours, ownTime } from "../lib/tree.js";
import { Waterfall } from "../lib/waterfall.js";

const FRESH = 60_000; // ms for which spans of a trace may still come
const SOON = 500; // ms: a span is here a moment after its request
const apiUrl = (id) => `/api/traces/${encodeURIComponent(id)}`;

export function Page({ params }) {
  const { id } = params;
  const [every, setEvery] = useState(SOON);
  const { data, error } = usePolled(apiUrl(id), every);
  const trace = useSettled(data);
  useEffect(() => setEvery(SOON), [id]);
  useEffect(() => { if (data) setEvery(Date.now() - data.start_unix_ms > FRESH ? 0 : 2000); }, [data]);
  if (!trace) return html`<${Waiting} id=${id} error=${error} />`;
  return html`<${Shown} trace=${trace} span=${params.span} />`;
}

// The same answer again is the same trace: nothing that was folded or chosen changes.
function useSettled(data) {
  const last = useRef(null);
  const old = last.current;
  const same = old && data && old.trace_id === data.trace_id && old.spans.length === data.spans.length
    && old.logs.length === data.logs.length && old.duration_ms === data.duration_ms;
  if (!same) last.current = data;
  return last.current;
}

function Waiting({ id, error }) {
  if (error?.status === 404)
    return html`<${Heading} title="Trace" /><section class="card"><${Empty} title="This trace is not kept here">
      It may be older than what the gateway keeps, was not sampled, or has not arrived yet. This page goes on asking.<//></section>`;
  return html`<${Heading} title="Trace" note=${error ? "" : `Asking for ${shortId(id)}…`} /><${Failure} error=${error} />`;
}

function Shown({ trace, span }) {
  const { spans } = trace;
  const [selected, setSelected] = useState(null);
  const heading = useRef(null);
  const counts = useMemo(() => below(spans), [spans]);
  const hues = useMemo(() => colours(spans), [spans]);
  const at = spans.findIndex((one) => one.span_id === (selected ?? span));
  const index = at < 0 ? 0 : at;
  const current = spans[index];
  useEffect(() => setSelected(null), [trace.trace_id]);
  const open = () => {
    heading.current?.focus();
    heading.current?.scrollIntoView({ block: "nearest" });
  };
  return html`
    <${Top} trace=${trace} />
    <div class="trace">
      <div class="stack">
        <section class="card flush" aria-label="Waterfall">
          <${Waterfall} spans=${spans} hues=${hues} selected=${current?.span_id} select=${setSelected} open=${open} />
        </section>
        <${Logs} logs=${trace.logs} select=${setSelected} />
      </div>
      ${current && html`<${Detail} key=${current.span_id} span=${current} own=${ownTime(spans, index, counts)}
        traceId=${trace.trace_id} heading=${heading} />`}
    </div>`;
}

function Top({ trace }) {
  const { spans } = trace;
  const root = spans[0];
  const failed = spans.filter((one) => one.status === "error").length;
  const status = root?.attributes["http.response.status_code"];
  return html`
    <header class="stack">
      <div class="strip flat wrap">
        <h1 class="text" tabindex="-1">${cut(root?.name || "Trace", 200)}</h1>
        ${typeof status === "number" && html`<${Status} status=${status} error="" />`}
        ${trace.error && html`<${Badge} kind="bad">${failed ? `${count(failed)} failed` : "failed"}<//>`}
      </div>
      <dl class="tiles">
        <div><dt>Duration</dt><dd>${ms(trace.duration_ms)}</dd></div>
        <div><dt>Spans</dt><dd>${count(spans.length)}</dd></div>
        <div><dt>Services</dt><dd>${count(trace.services.length)}</dd></div>
        <div class="small-value"><dt>Began</dt><dd>${moment(trace.start_unix_ms)}</dd></div>
        <div class="small-value"><dt>Trace id</dt><dd class="mono text">${cut(trace.trace_id, 32)}</dd></div>
      </dl>
      <${Actions} trace=${trace} />
    </header>`;
}

function Actions({ trace }) {
  const request = useMemo(() => asked(trace.spans), [trace]);
  const otlp = async () => JSON.stringify(await getJson(`${apiUrl(trace.trace_id)}?format=otlp`), null, 1);
  const [error, setError] = useState(null);
  const download = () => {
    setError(null);
    otlp().then((text) => save(`trace-${shortId(trace.trace_id)}.json`, text), setError);
  };
  return html`
    <div class="tools" role="group" aria-label="This trace elsewhere">
      ${request && html`<${Copy} text=${() => curl(request)}>Copy as curl<//>`}
      <${Copy} text=${() => JSON.stringify(trace, null, 1)}>Copy JSON<//>
      <${Copy} text=${otlp}>Copy OTLP<//>
      <button type="button" onClick=${download}><${Icon} name="down" /> Download OTLP</button>
      <a class="button" href=${url("compare", { a: trace.trace_id })}><${Icon} name="swap" /> Compare</a>
      ${trace.trace_url && httpUrl(trace.trace_url) && html`<span class="outside"><${Outside} href=${trace.trace_url}>Open where traces are kept for long<//></span>`}
      <${Failure} error=${error} />
    </div>`;
}

function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const SEVERE = /^(error|fatal)/i;
const WARNING = /^warn/i;
const severityKind = (text) => (SEVERE.test(text) ? "bad" : WARNING.test(text) ? "warn" : "plain");
const LOGS = 200;

function Logs({ logs, select }) {
  const [all, setAll] = useState(false);
  return html`
    <section class="card" aria-labelledby="logs">
      <h2 id="logs">Log records <span class="muted">${count(logs.length)}</span></h2>
      ${!logs.length && html`<p class="muted">None has come with this trace's id.</p>`}
      <ol class="logs">${logs.slice(0, all ? Infinity : LOGS).map((log) => html`
        <li>
          <span class="mono muted">${us(log.time_us)}</span>
          <${Badge} kind=${severityKind(log.severity)}>${cut(log.severity || "none", 20)}<//>
          <span class="muted text">${cut(log.service, 60)}</span>
          <span class="what"><${Value} value=${log.body ?? ""} />
            <details><summary class="small muted">${Object.keys(log.attributes ?? {}).length} attributes</summary><${Words} words=${log.attributes} /></details></span>
          ${log.span_id && html`<button type="button" class="quiet small" onClick=${() => select(log.span_id)}>Its span</button>`}
        </li>`)}</ol>
      ${logs.length > LOGS && !all && html`<button type="button" onClick=${() => setAll(true)}>Show all ${count(logs.length)}</button>`}
    </section>`;
}

