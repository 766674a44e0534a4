// What one span says: times, phases, attributes, events, links, resource. All of it is text.
import { html, useState } from "./ui.js";
import { bytes, cut, shortId, us, visible } from "./format.js";
import { Badge, Icon } from "./parts.js";
import { traceUrl } from "./router.js";
import { PHASES } from "./waterfall.js";

const SHORT = 400; // characters of a value that are shown at first
const MANY = 200; // entries that are shown at first

export function Detail({ span, own, traceId, heading }) {
  const end = span.start_us + span.duration_us;
  return html`
    <section class="card detail" aria-labelledby="span">
      <h2 id="span" tabindex="-1" ref=${heading} class="text">${cut(span.name || "(no name)", 300)}</h2>
      <p class="strip flat wrap">
        <${Badge} kind=${span.status === "error" ? "bad" : span.status === "ok" ? "good" : "plain"}>${span.status === "unset" ? "no status" : span.status}<//>
        ${span.kind && html`<${Badge}>${cut(span.kind, 20)}<//>`} <span class="text">${cut(span.service || "(no service)", 100)}</span>
        ${!span.sampled && html`<${Badge} kind="warn">not sampled<//>`}
      </p>
      ${span.message && html`<p class="notice bad text"><${Icon} name="bad" /> <${Value} value=${span.message} /></p>`}
      <dl class="facts">
        <dt>Duration</dt><dd><strong>${us(span.duration_us)}</strong>, of which ${us(own)} its own</dd>
        <dt>From, to</dt><dd>${us(span.start_us)}, ${us(end)}</dd>
        ${span.phases.map((phase) => html`<dt><span class=${`swatch phase ${phase.name in PHASES ? phase.name : "overhead"}`} aria-hidden="true" /> ${PHASES[phase.name] ?? cut(phase.name, 60)}</dt><dd>${us(phase.duration_us)}</dd>`)}
        <dt>Span id</dt><dd class="mono">${cut(span.span_id, 32)}</dd>
        ${span.parent_id && html`<dt>Parent id</dt><dd class="mono">${cut(span.parent_id, 32)}</dd>`}
        ${span.scope && html`<dt>Scope</dt><dd>${cut(span.scope, 200)}</dd>`}
        ${span.trace_state && html`<dt>tracestate</dt><dd class="mono">${cut(span.trace_state, 600)}</dd>`}
      </dl>
      <${Words} title="Attributes" words=${span.attributes} open />
      ${span.events.length > 0 && html`<h3>Events</h3>
        ${span.events.slice(0, MANY).map((event) => html`<${Words} title=${html`<span class="muted">${us(event.time_us)}</span> ${cut(event.name, 200)}`}
          words=${event.attributes} open=${span.events.length < 6} />`)}`}
      ${span.links.length > 0 && html`<h3>Links</h3><ul class="plain">
        ${span.links.slice(0, MANY).map((link) => html`<li><a class="mono" href=${`${traceUrl(link.trace_id)}?span=${encodeURIComponent(link.span_id)}`}>
          ${link.trace_id === traceId ? "this trace" : `trace ${shortId(link.trace_id)}`}, span ${shortId(link.span_id)}</a>
          <${Words} words=${link.attributes} open /></li>`)}</ul>`}
      <${Words} title="Resource" words=${span.resource} />
    </section>`;
}

/** Names and values; folded behind `title`, unless there is none. */
export function Words({ title, words, open = false }) {
  const [all, setAll] = useState(false);
  const entries = Object.entries(words ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  if (!entries.length && !title) return null;
  const list = html`<dl class="pairs">${entries.slice(0, all ? Infinity : MANY).map(([name, value]) => html`
    <div key=${name}><dt class="mono">${cut(name, 200)}</dt><dd><${Value} value=${value} /></dd></div>`)}</dl>
    ${entries.length > MANY && !all && html`<button type="button" onClick=${() => setAll(true)}>Show all ${entries.length}</button>`}`;
  if (!title) return list;
  return html`<details open=${open}><summary>${title} <span class="muted small">${entries.length}</span></summary>${list}</details>`;
}

/** One value of any kind; long ones are cut until somebody asks. */
export function Value({ value }) {
  const [all, setAll] = useState(false);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (text.length <= SHORT) return html`<span class="text mono">${visible(text) || html`<span class="muted">(empty)</span>`}</span>`;
  return html`${all ? html`<pre class="code wrap" tabindex="0">${visible(text)}</pre>` : html`<span class="text mono">${cut(text, SHORT)}</span>`}
    <button type="button" class="small" aria-expanded=${all} onClick=${() => setAll(!all)}>${all ? "Show less" : `Show all, ${bytes(text.length)}`}</button>`;
}
