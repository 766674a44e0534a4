// Routes: what each one does, how it does now, what the file says; and what becomes of a request.
import "../lib/sheet.js";
import { html, useState } from "../lib/ui.js";
import { getJson, usePolled } from "../lib/api.js";
import { ago, count, cut, ms, rate } from "../lib/format.js";
import { Badge, Empty, Failure, Heading, Icon } from "../lib/parts.js";
import { Spark } from "../lib/spark.js";
import { url } from "../lib/router.js";

const SHOWN = 200; // routes at once; the filter finds the others
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"];

export function Page({ params }) {
  const routes = usePolled("/api/routes", 15_000);
  const rates = usePolled("/api/rates?points=60", 2000);
  const [typed, type] = useState(params.q ?? "");
  const [question, ask] = useState({ url: "", at: 0 });
  const known = new Map((rates.data?.routes ?? []).map((route) => [route.route, route]));
  const all = routes.data?.routes ?? [];
  const wanted = typed.toLowerCase();
  const found = all.filter((route) => !wanted || words(route).includes(wanted));
  const unmatched = known.get("");
  return html`
    <${Heading} title="Routes" note="In the order of the file: the best match takes the request.">
      ${all.length > 8 && html`<label class="field w-l">Find <input type="search" value=${typed} placeholder="name, path, host, upstream" onInput=${(event) => type(event.target.value)} /></label>`}
    <//>
    <${Failure} error=${routes.error ?? rates.error} />
    ${routes.data && !all.length && html`<div class="card"><${Empty} title="There are no routes">A collector alone has none; a gateway has them in its configuration.<//></div>`}
    ${all.length > 0 && html`<${Explain} key=${question.at} asked=${question} />`}
    ${all.length > 0 && html`<section class="route-list" aria-label="Routes">
      ${found.slice(0, SHOWN).map((route) => html`<${Route} key=${`${route.name} ${route.line}`} route=${route} now=${known.get(route.name)}
        ask=${(path) => ask({ url: path, at: Date.now() })} />`)}
      ${!found.length && html`<div class="card"><${Empty} title="No route has that in it" /></div>`}
      ${found.length > SHOWN && html`<p class="muted">and ${count(found.length - SHOWN)} more: write more above to find them.</p>`}
    </section>`}
    ${unmatched?.requests > 0 && html`<p class="notice warn"><${Icon} name="warn" />
      ${" "}${count(unmatched.requests)} requests matched no route, the last ${ago(unmatched.last_hit_unix_ms)}.</p>`}`;
}

const hosts = (route) => [route.host ?? []].flat();
const words = (route) => [route.name, route.path, ...hosts(route), ...Object.keys(route.to ?? {}), ...Object.values(route.publish ?? {}), route.action]
  .join(" ").toLowerCase();

function Route({ route, now, ask }) {
  const [open, turn] = useState(false);
  const failing = now?.errors > 0;
  return html`
    <article class=${`card route-card ${failing ? "failing" : ""}`} data-route=${route.name}>
      <div class="route-what">
        <h2 class="text">${cut(route.name, 120)}</h2>
        <p class="mono small text">${hosts(route).length > 0 && html`<span class="muted">${cut(hosts(route).join(", "), 120)} </span>`}${cut(route.path, 160)}</p>
        <p class="small text"><${Icon} name="right" /> <${Where} route=${route} /></p>
      </div>
      <dl class="numbers">
        <div><dt>Requests</dt><dd>${rate(now?.rate)}</dd></div>
        <div><dt>Failed</dt><dd>${failing ? html`<${Badge} kind="bad">${rate(now.errors)}<//>` : rate(now ? 0 : null)}</dd></div>
        <div><dt>p50</dt><dd>${ms(now?.p50_ms)}</dd></div>
        <div><dt>p99</dt><dd>${ms(now?.p99_ms)}</dd></div>
        <div><dt>Last hit</dt><dd>${now?.last_hit_unix_ms ? ago(now.last_hit_unix_ms) : html`<${Badge} kind="plain">never<//>`}</dd></div>
      </dl>
      <div class="route-trend"><${Trend} now=${now} /></div>
      <div class="tools">
        <button type="button" aria-expanded=${open} onClick=${() => turn(!open)}><${Icon} name=${open ? "open" : "right"} />
          What the file says<span class="unseen"> about ${cut(route.name, 60)}</span></button>
        <button type="button" class="quiet" onClick=${() => ask(example(route))}>Explain<span class="unseen"> a request of ${cut(route.name, 60)}</span></button>
        <a class="button quiet" href=${url("traces", { route: route.name })}>Traces<span class="unseen"> of ${cut(route.name, 60)}</span></a>
      </div>
      ${open && html`<${Said} route=${route} now=${now} />`}
    </article>`;
}

function Trend({ now }) {
  const points = now?.history ?? [];
  if (points.length < 2) return null;
  const column = (index) => points.map((point) => point[index]);
  const lines = [{ kind: "area", values: column(1) }, { kind: "line", values: column(1) }, { kind: "bars", values: column(2) }];
  return html`<${Spark} lines=${lines} label=${`requests per second of the last ${points.length} readings, now ${rate(now.rate)}`} height=${34} />`;
}

function Where({ route }) {
  if (route.action === "redirect") return "a redirect";
  if (route.action === "respond") return "a fixed answer";
  if (route.publish) return `queue ${cut(route.publish.to, 60)}, topic ${cut(route.publish.topic, 60)}`;
  const to = Object.entries(route.to ?? {});
  const total = to.reduce((sum, [, weight]) => sum + weight, 0);
  return to.map(([name, weight], i) => html`${i > 0 && ", "}<a href=${url("upstreams", { q: name })}>${cut(name, 60)}</a>${to.length > 1 && ` ${Math.round((100 * weight) / total)} %`}`);
}

/** A path that this route would take, as far as one can tell from its pattern. */
const example = (route) => {
  const host = hosts(route)[0]?.replace("*.", "www.") ?? "";
  const path = route.path.startsWith("~") ? "/" : route.path.replaceAll(/\{[^}]*\}/g, "1").replace(/\*$/, "");
  return `${host}${path || "/"}`;
};

const Said = ({ route, now }) => html`
  <div class="said stack">
    <dl class="facts">
      <dt>Requests since the start</dt><dd>${count(now?.requests ?? 0)}, of which ${count(now?.failed ?? 0)} failed</dd>
      ${route.timeout_ms && html`<dt>Timeout</dt><dd>${ms(route.timeout_ms)}</dd>`}
      ${route.retry && html`<dt>Retries</dt><dd>${route.retry.times ?? route.retry} more ${route.retry.on?.length > 0 && `, also on ${route.retry.on.join(", ")}`}</dd>`}
      ${route.line > 0 && html`<dt>Stands in line</dt><dd>${route.line}</dd>`}
    </dl>
    ${route.text ? html`<pre class="code" tabindex="0" aria-label="TOML of the route">${cut(route.text, 20_000)}</pre>`
      : html`<p class="muted">The file does not say it in a block of its own.</p>`}
  </div>`;

function Explain({ asked }) {
  const [told, tell] = useState(null);
  const submit = async (event) => {
    event?.preventDefault();
    const { method, address, headers } = event.target.elements;
    const query = new URLSearchParams({ method: method.value, url: address.value.trim() });
    for (const line of headers.value.split("\n")) if (line.trim()) query.append("header", line.trim());
    try {
      tell({ answer: await getJson(`/api/explain?${query}`) });
    } catch (error) {
      tell({ error });
    }
  };
  const begin = (form) => { if (asked.url && form && !form.dataset.begun) { form.dataset.begun = "yes"; form.requestSubmit(); form.scrollIntoView({ block: "nearest" }); form.elements.address.focus(); } };
  return html`
    <section class="card stack" aria-labelledby="explain">
      <h2 id="explain">What would become of a request?</h2>
      <form class="explain" ref=${begin} onSubmit=${submit}>
        <label class="field">Method <select name="method">${METHODS.map((m) => html`<option>${m}</option>`)}</select></label>
        <label class="field grow">URL or path <input name="address" required autocomplete="off" spellcheck=${false} value=${asked.url} placeholder="/orders/42, or shop.example/orders/42" /></label>
        <label class="field grow">Headers, one a line <textarea name="headers" rows="1" spellcheck=${false} placeholder="name: value"></textarea></label>
        <button type="submit" class="main">Explain</button>
      </form>
      <div role="status">${told && html`<${Told} told=${told} />`}</div>
    </section>`;
}

function Told({ told: { answer, error } }) {
  if (error) return html`<${Failure} error=${error} />`;
  return html`
    <p>${answer.taken ? html`<${Badge} kind="good">taken<//> The gateway would take it. Nothing was sent.`
      : html`<${Badge} kind="bad">refused<//> The gateway would not take it. Nothing was sent.`}</p>
    <pre class="code" tabindex="0" aria-label="Explanation">${answer.lines.map((line) => cut(line, 400)).join("\n")}</pre>`;
}
