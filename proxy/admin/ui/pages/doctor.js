// Doctor: which service breaks traces or wastes requests, how sure that is, and what to do.
import "../lib/sheet.js";
import { html } from "../lib/ui.js";
import { usePolled } from "../lib/api.js";
import { count, cut, percent, shortId } from "../lib/format.js";
import { Badge, Empty, Failure, Heading, Icon } from "../lib/parts.js";
import { traceUrl } from "../lib/router.js";

const SHOWN = 8; // traces of one finding

// In words: what is wrong. What is not listed is shown as it is called.
export const KINDS = {
  context_dropped: "Drops the trace context",
  context_restarted: "Begins new traces",
  context_corrupted: "Sends trace headers that are not valid",
  sampled_flag_changed: "Changes the sampled flag",
  tracestate_lost: "Loses tracestate",
  baggage_lost: "Loses baggage",
  b3_for_w3c: "Sends B3 where it was sent W3C",
  trace_id_truncated: "Cuts trace ids in half",
  clock_skew: "Its clock is wrong",
  spans_missing: "Its spans never arrive",
  no_keepalive: "Closes its connections",
  retries_never_help: "Retries never help",
  timeout_too_long: "Its timeout outlasts the clients",
  route_never_hit: "Is never asked",
};

const CHECKS = [
  "calls without trace context whose caller was given one",
  "new trace ids behind a service that was given one",
  "sampled flags, tracestate and baggage that change or vanish",
  "B3 where W3C was sent",
  "clocks that disagree, and spans that never arrive",
  "upstreams without keep-alive, retries that never help, timeouts that outlast the client's",
  "routes that are never asked",
];

/** A finding's kind in words. */
export const inWords = (kind) => (Object.hasOwn(KINDS, kind) ? KINDS[kind]
  : cut(String(kind).replaceAll(/[_-]+/g, " "), 80).replace(/^./, (first) => first.toUpperCase()));

const sureness = (c) => (c >= 0.9 ? "sure" : c >= 0.7 ? "likely" : c >= 0.4 ? "possible" : "a guess");

export function Page() {
  const { data, error } = usePolled("/api/doctor", 3000);
  const found = [...(data?.findings ?? [])].sort((a, b) => b.confidence - a.confidence);
  return html`
    <${Heading} title="Doctor" note="Who breaks the trace, and how to mend it. Every finding names traces that show it." />
    <${Failure} error=${error} />
    ${found.map((one) => html`<${Finding} key=${`${one.service} ${one.kind}`} one=${one} />`)}
    ${data && !found.length && html`<div class="card"><${Empty} title="Nothing is wrong, as far as can be seen">
      ${data.checked?.spans ? "What was looked at is below." : "There are no spans to look at yet: send some requests."}<//></div>`}
    ${data && html`<${Checked} checked=${data.checked ?? {}} />`}`;
}

const Finding = ({ one }) => html`
  <article class="card stack finding" data-kind=${one.kind}>
    <div class="finding-head">
      <h2><span class="text">${cut(one.service || "the gateway", 80)}</span></h2>
      <${Badge} kind="warn">${inWords(one.kind)}<//>
      <span class="sure"><span class="muted small">${sureness(one.confidence)}, ${percent(one.confidence)}</span>
        <meter min="0" max="1" value=${one.confidence} aria-label=${`confidence ${percent(one.confidence)}`}></meter></span>
    </div>
    <p class="text">${cut(one.summary, 600)}</p>
    <div class="notice good"><${Icon} name="right" /> <strong>What to do.</strong> <span class="text prewrap">${cut(one.remedy, 1500)}</span></div>
    ${one.evidence?.length > 0 && html`<div><h3>Traces that show it</h3><ul class="chips">
      ${one.evidence.slice(0, SHOWN).map((id) => html`<li><a class="mono" href=${traceUrl(id)} title=${`trace ${cut(id, 40)}`}><span class="unseen">trace </span>${shortId(id)}</a></li>`)}
      ${one.evidence.length > SHOWN && html`<li class="muted small">and ${one.evidence.length - SHOWN} more</li>`}
    </ul></div>`}
  </article>`;

const Checked = ({ checked }) => html`
  <section class="card stack" aria-labelledby="checked">
    <h2 id="checked">What was checked</h2>
    <p>${count(checked.spans ?? 0)} spans of ${checked.services?.length ?? 0} services:
      <span class="text"> ${(checked.services ?? []).slice(0, 40).map((name) => cut(name, 60)).join(", ") || "none yet"}</span></p>
    <ul class="checks muted">${CHECKS.map((text) => html`<li>${text}</li>`)}</ul>
  </section>`;
