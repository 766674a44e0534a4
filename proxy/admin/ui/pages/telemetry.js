// Telemetry: the collector's pipelines as a graph, what flows, what waits, and what was lost.
import "../lib/sheet.js";
import { html, useRef } from "../lib/ui.js";
import { usePolled } from "../lib/api.js";
import { bytes, count, cut, digits, percent, rate } from "../lib/format.js";
import { Edge, Graph, Label, Node, fitted, useLayout, useNarrow, wide } from "../lib/graph.js";
import { Badge, Empty, Failure, Heading, Icon } from "../lib/parts.js";
import { why } from "../lib/remedies.js";

const EVERY = 2000; // ms

export function Page() {
  const { data, error } = usePolled("/api/pipelines", EVERY);
  const sent = useRates(data);
  const names = Object.keys(data?.pipelines ?? {});
  return html`
    <${Heading} title="Telemetry" note="What the collector receives, changes and sends on; and what becomes of what cannot be sent.">
      ${data && html`<${Books} data=${data} />`}
    <//>
    <${Failure} error=${error} />
    ${data && !names.length && html`<div class="card"><${Empty} title="There are no pipelines">Name a back end in [export], or pipelines in [collector].<//></div>`}
    ${names.length > 0 && html`<${Drawing} data=${data} sent=${sent} />`}
    ${data && html`<${Losses} losses=${data.losses ?? []} />`}
    ${names.length > 0 && html`<${Exporters} exporters=${data.exporters ?? {}} sent=${sent} />`}
    ${names.length > 0 && html`<${Stages} data=${data} />`}`;
}

const Books = ({ data }) => html`<${Badge} kind=${data.balanced === false ? "bad" : "good"}>
  ${data.balanced === false ? "the books do not balance" : "the books balance"}<//>`;

/** Items a second that each exporter has sent, from one answer to the next. */
function useRates(data) {
  const last = useRef({ data: null, at: 0, sent: {}, found: {} });
  if (data && data !== last.current.data) {
    const now = Date.now();
    const sent = Object.fromEntries(Object.entries(data.exporters ?? {}).map(([id, one]) => [id,
      Object.values(one.signals ?? {}).reduce((sum, signal) => sum + signal.exported, 0)]));
    const seconds = (now - last.current.at) / 1000;
    const found = {};
    for (const [id, items] of Object.entries(sent))
      if (last.current.data && id in last.current.sent) found[id] = Math.max(0, items - last.current.sent[id]) / seconds;
    last.current = { data, at: now, sent, found };
  }
  return last.current.found;
}

const queue = (one) => one.queue && `queue ${bytes(one.queue.bytes)}${one.queue.capacity ? ` of ${bytes(one.queue.capacity)}` : ""}`;
const lostOf = (dropped) => Object.entries(dropped ?? {}).filter(([reason]) => !why(reason).meant).reduce((sum, [, items]) => sum + items, 0);
const lost = (one) => Object.values(one.signals ?? {}).reduce((sum, signal) => sum + lostOf(signal.dropped), 0);

/** Nodes and edges: receivers, each pipeline's processors in their order, connectors, exporters. */
export function graphOf(data, sent) {
  const nodes = new Map();
  const edges = new Map();
  const node = (id, kind, title, about, lines = []) => {
    if (nodes.has(id)) return id;
    const shown = [{ text: kind }, ...lines.filter((line) => line?.text)];
    const width = Math.max(wide(title, { least: 110 }), ...shown.map((line) => wide(line.text, { each: 6.4, least: 60 })));
    const label = `${kind} ${cut(title, 80)}: ${about.healthy === false ? "in trouble" : cut(about.state ?? "running", 30)}`;
    nodes.set(id, { id, kind: `${kind} ${about.healthy === false ? "ill" : ""}`, title: fitted(cut(title), width), lines: shown, label, width, height: 30 + shown.length * 15 });
    return id;
  };
  const ill = (about) => (about.healthy === false ? { text: "✕ in trouble", kind: "bad" } : null);
  const end = (id) => {
    const connector = data.connectors?.[id];
    if (connector) return node(`c ${id}`, "connector", id, connector, [ill(connector)]);
    const one = data.exporters?.[id] ?? {};
    const gone = lost(one);
    return node(`e ${id}`, "exporter", id, one, [
      { text: id in sent ? `${rate(sent[id])} sent` : "" }, { text: queue(one) },
      gone > 0 ? { text: `✕ ${count(gone)} lost`, kind: "bad" } : null, ill(one),
    ]);
  };
  const join = (source, target, name, per) => {
    const id = `${source}>${target}>${name}`;
    edges.set(id, { id, source, target, name, rate: per });
  };
  for (const [name, pipeline] of Object.entries(data.pipelines ?? {})) {
    const steps = (pipeline.processors ?? []).map((step, at) => node(`p ${name} ${at}`, "processor", step.id, step, [
      step.held > 0 ? { text: `holds ${count(step.held)}` } : null, ill(step)]));
    const first = steps[0];
    const sources = (pipeline.receivers ?? []).map((id) => (data.connectors?.[id] ? end(id)
      : node(`r ${id}`, "receiver", id, data.receivers?.[id] ?? {}, [ill(data.receivers?.[id] ?? {})])));
    const ends = (pipeline.exporters ?? []).map(end);
    for (const source of sources) for (const target of first ? [first] : ends) join(source, target, name, pipeline.items_per_second);
    steps.slice(1).forEach((step, at) => join(steps[at], step, name, pipeline.processors[at + 1].items_per_second));
    if (first) for (const target of ends) join(steps.at(-1), target, name, null);
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

function Drawing({ data, sent }) {
  const narrow = useNarrow();
  const { nodes, edges } = graphOf(data, sent);
  const several = Object.keys(data.pipelines).length > 1;
  const labels = edges.map((edge) => [
    ...(several ? [{ text: fitted(cut(edge.name), 120) }] : []),
    ...(typeof edge.rate === "number" ? [{ text: rate(edge.rate), kind: "strong" }] : []),
  ]);
  const sized = edges.map((edge, i) => ({ ...edge, width: labels[i].length ? 92 : 10, height: 8 + 15 * labels[i].length }));
  const layout = useLayout(nodes, sized, { down: narrow });
  return html`
    <section class="card flush" aria-label="Drawing of the pipelines">
      <${Graph} layout=${layout} label="Pipelines, from receivers to exporters; the tables below say the same">
        ${edges.map((edge, i) => html`<${Edge} key=${edge.id} name=${edge.id} place=${layout.edges[edge.id]} kind=${edge.rate > 0 ? "flowing" : ""}>
          ${labels[i].length > 0 && html`<${Label} lines=${labels[i]} width=${92} />`}<//>`)}
        ${nodes.map((node) => html`<${Node} key=${node.id} place=${layout.nodes[node.id]} width=${node.width} height=${node.height} kind=${node.kind}
          title=${node.title} lines=${node.lines} label=${node.label} />`)}
      <//>
    </section>`;
}

function Losses({ losses }) {
  const told = losses.map((loss) => ({ ...loss, ...why(loss.reason) })).filter((loss) => loss.items > 0);
  const bad = told.filter((loss) => !loss.meant);
  const meant = told.filter((loss) => loss.meant);
  return html`
    <section class="card flush" aria-labelledby="losses">
      <h2 id="losses" class="inset">Lost, and what to do</h2>
      ${!bad.length && html`<p class="inset"><${Icon} name="good" /> Nothing was lost since the start.</p>`}
      ${bad.length > 0 && html`<ul class="losses">${bad.map((loss) => html`
        <li data-reason=${loss.reason}>
          <p><${Badge} kind="bad">${count(loss.items)} ${cut(loss.signal, 20)}<//> <strong>${loss.words}</strong>
            <span class="muted small text"> ${cut(loss.exporter, 60)}, ${cut(loss.reason, 60)}</span></p>
          <p><${Icon} name="right" /> ${loss.remedy}</p>
        </li>`)}</ul>`}
      ${meant.length > 0 && html`<p class="inset muted small">Left out as it was told to: ${meant.map((loss) => `${count(loss.items)} ${cut(loss.signal, 20)} (${cut(loss.reason, 30)}, ${cut(loss.exporter, 40)})`).join("; ")}.</p>`}
    </section>`;
}

const trouble = (one) => one.last_error && html`<p class="small text">${cut(one.last_error, 400)}
  <span class="muted"> ${digits(one.last_error_seconds_ago)} s ago</span></p>`;

const Exporters = ({ exporters, sent }) => html`
  <section class="card flush" aria-labelledby="exporters">
    <h2 id="exporters" class="inset">Exporters</h2>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="exporters"><table class="plain stacked">
      <thead><tr><th>Exporter</th><th>Signal</th><th>State</th><th class="num">Taken</th><th class="num">Sent</th><th class="num">Waiting</th><th class="num">Lost</th></tr></thead>
      <tbody>${Object.entries(exporters).flatMap(([id, one]) => {
        const signals = Object.entries(one.signals ?? {});
        return (signals.length ? signals : [["", {}]]).map(([signal, told], at) => html`
          <tr key=${`${id} ${signal}`}>
            <td class="text" data-label="Exporter">${at === 0 && html`<div><strong>${cut(id, 60)}</strong><p class="small muted">${[id in sent && `${rate(sent[id])} sent`, queue(one)].filter(Boolean).join(", ")}</p>${one.queue?.capacity > 0 && html`<meter min="0" max="1" high="0.8" value=${one.queue.bytes / one.queue.capacity} aria-label=${`queue ${percent(one.queue.bytes / one.queue.capacity)} full`}></meter>`}</div>`}${at > 0 && html`<span class="unseen">${cut(id, 60)}</span>`}</td>
            <td data-label="Signal">${signal || "none yet"}</td>
            <td data-label="State"><div><${Health} told=${signal ? told : one} />${trouble(signal ? told : one)}</div></td>
            <td class="num" data-label="Taken">${count(told.created)}</td><td class="num" data-label="Sent">${count(told.exported)}</td><td class="num" data-label="Waiting">${count(told.queued)}</td>
            <td class="num" data-label="Lost">${lostOf(told.dropped) > 0 ? html`<${Badge} kind="bad">${count(lostOf(told.dropped))}<//>` : "0"}</td>
          </tr>`);
      })}</tbody></table></div>
  </section>`;

const Health = ({ told }) => (told.healthy === false ? html`<${Badge} kind="bad">in trouble<//>`
  : told.paused ? html`<${Badge} kind="warn">not taken there<//>` : html`<${Badge} kind="good">well<//>`);

const Stages = ({ data }) => html`
  <section class="card flush" aria-labelledby="stages">
    <h2 id="stages" class="inset">Receivers and pipelines</h2>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="stages"><table class="plain stacked">
      <thead><tr><th>Stage</th><th>Of</th><th>State</th><th class="num">Now</th><th class="num">Taken</th><th class="num">Refused</th></tr></thead>
      <tbody>
        ${Object.entries(data.receivers ?? {}).flatMap(([id, one]) => Object.entries(one.signals ?? {}).map(([signal, flow]) => html`
          <${Stage} key=${`r ${id} ${signal}`} name=${id} of=${`receiver, ${signal}${places(one)}`} one=${one} flow=${flow} />`))}
        ${Object.entries(data.pipelines ?? {}).flatMap(([name, pipeline]) => [
          html`<${Stage} key=${`p ${name}`} name=${name} of=${`pipeline, ${pipeline.signal}`} one=${{}} flow=${pipeline} />`,
          ...(pipeline.processors ?? []).map((step) => html`<${Stage} key=${`s ${name} ${step.id}`} name=${step.id} of=${`processor in ${cut(name, 40)}`} one=${step} flow=${step} />`),
        ])}
      </tbody></table></div>
  </section>`;

const places = (one) => Object.entries(one.addresses ?? {}).map(([name, port]) => `, ${cut(name, 20)} on ${cut(port, 60)}`).join("");

const Stage = ({ name, of, one, flow }) => html`
  <tr><td class="text" data-label="Stage">${cut(name, 80)}</td><td class="muted text" data-label="Of">${of}</td>
    <td data-label="State"><div><${Health} told=${one} />${trouble(one)}</div></td>
    <td class="num" data-label="Now">${rate(flow.items_per_second)}</td><td class="num" data-label="Taken">${count(flow.accepted)}</td>
    <td class="num" data-label="Refused">${flow.refused > 0 ? html`<${Badge} kind="warn">${count(flow.refused)}<//>` : "0"}</td></tr>`;
