// Map: who calls whom, how often, and where the trace breaks; as a drawing and as a table.
import "../lib/sheet.js";
import { html, useState } from "../lib/ui.js";
import { usePolled } from "../lib/api.js";
import { count, cut, digits, ms, rate } from "../lib/format.js";
import { Edge, Graph, Label, Node, fitted, useLayout, useNarrow, wide } from "../lib/graph.js";
import { Badge, Empty, Failure, Heading } from "../lib/parts.js";
import { url } from "../lib/router.js";

const CROWDED = 24; // edges, beyond which labels are shown for one node at a time
const KINDS = { gateway: "gateway", service: "service", client: "client" };
const LABEL = 104; // pixels

export function Page() {
  const { data, error } = usePolled("/api/map", 2000);
  const edges = (data?.edges ?? []).map((edge) => ({ ...edge, id: `${edge.source}>${edge.target}` }));
  const nodes = withStrangers(data?.nodes ?? [], edges);
  return html`
    <${Heading} title="Map" note="Who calls whom, drawn from the traces of the last minutes. A dashed line is a call on which the trace is lost." />
    <${Failure} error=${error} />
    ${data && !edges.length && html`<div class="card"><${Empty} title="No calls yet">
      Send a request through the gateway: the services behind it appear here a moment later.<//></div>`}
    ${edges.length > 0 && html`<${Drawing} nodes=${nodes} edges=${edges} /><${Table} edges=${edges} />`}`;
}

/** An edge may name a service that is not listed. */
function withStrangers(nodes, edges) {
  const known = new Map(nodes.map((node) => [node.name, node]));
  for (const name of edges.flatMap((edge) => [edge.source, edge.target]))
    if (!known.has(name)) known.set(name, { name, kind: "service" });
  return [...known.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

const linesOf = (edge) => [
  { text: rate(edge.rate), kind: "strong" },
  { text: `p99 ${ms(edge.p99_ms)}` },
  ...(edge.errors > 0 ? [{ text: `✕ ${digits(edge.errors)}/s failed`, kind: "bad" }] : []),
  ...(edge.broken ? [{ text: "⚠ trace lost", kind: "warn" }] : []),
];

function Drawing({ nodes, edges }) {
  const narrow = useNarrow();
  const [chosen, choose] = useState("");
  const crowded = edges.length > CROWDED;
  const boxes = nodes.map((node) => {
    const width = wide(node.name, { least: 96 });
    return { ...node, id: node.name, width, height: 48, title: fitted(cut(node.name), width) };
  });
  const room = crowded ? { width: 0, height: 0 } : { width: LABEL, height: 66 };
  const layout = useLayout(boxes, edges.map((edge) => ({ ...edge, ...room })), { down: narrow });
  const told = (edge) => !crowded || edge.source === chosen || edge.target === chosen;
  const most = Math.max(...edges.map((edge) => edge.rate), 0.001);
  const picked = (name) => crowded && {
    onMouseEnter: () => choose(name), onFocusIn: () => choose(name),
  };
  return html`
    <section class="card flush" aria-label="Drawing of the map">
      ${crowded && html`<${Chooser} nodes=${boxes} chosen=${chosen} choose=${choose} />`}
      <${Graph} layout=${layout} label=${`${nodes.length} services, ${edges.length} kinds of calls; the table below says the same`}>
        ${edges.map((edge) => html`
          <${Edge} key=${edge.id} name=${edge.id} place=${layout.edges[edge.id]} weight=${1.2 + 2.3 * Math.sqrt(edge.rate / most)}
            kind=${[edge.broken && "broken", edge.errors > 0 && "failing", crowded && chosen && (told(edge) ? "near" : "far")].filter(Boolean).join(" ")}>
            ${told(edge) && html`<${Label} lines=${linesOf(edge)} width=${LABEL} />`}
          <//>`)}
        ${boxes.map((box) => html`
          <${Node} key=${box.id} place=${layout.nodes[box.id]} width=${box.width} height=${box.height} kind=${`${KINDS[box.kind] ?? "service"} ${chosen === box.id ? "chosen" : ""}`}
            title=${box.title} lines=${[{ text: KINDS[box.kind] ?? "service" }]} href=${url("traces", { service: box.name })}
            label=${`${cut(box.name)}, ${KINDS[box.kind] ?? "service"}: its traces`} ...${picked(box.id)} />`)}
      <//>
    </section>`;
}

const Chooser = ({ nodes, chosen, choose }) => html`
  <div class="inset"><label class="field w-l">Show the numbers of
    <select value=${chosen} onChange=${(event) => choose(event.target.value)}>
      <option value="">no service: choose one, or point at it</option>
      ${nodes.map((node) => html`<option value=${node.id}>${cut(node.id, 60)}</option>`)}
    </select></label></div>`;

const Table = ({ edges }) => html`
  <section class="card flush" aria-labelledby="calls">
    <h2 id="calls" class="inset">Calls</h2>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="calls"><table class="plain stacked">
      <thead><tr><th>From</th><th>To</th><th class="num">Calls</th><th class="num">Failed</th>
        <th class="num">p50</th><th class="num">p99</th><th class="num">Seen</th><th>Trace</th></tr></thead>
      <tbody>${[...edges].sort((a, b) => b.rate - a.rate).map((edge) => html`
        <tr key=${edge.id}>
          <td class="text" data-label="From">${cut(edge.source, 80)}</td><td class="text" data-label="To">${cut(edge.target, 80)}</td>
          <td class="num" data-label="Calls">${rate(edge.rate)}</td>
          <td class="num" data-label="Failed">${edge.errors > 0 ? html`<${Badge} kind="bad">${rate(edge.errors)}<//>` : rate(0)}</td>
          <td class="num" data-label="p50">${ms(edge.p50_ms)}</td><td class="num" data-label="p99">${ms(edge.p99_ms)}</td>
          <td class="num" data-label="Seen">${count(edge.calls)}</td>
          <td data-label="Trace">${edge.broken ? html`<a class="badge warn" href="/ui/doctor">lost: see the doctor</a>` : html`<${Badge} kind="good">passed on<//>`}</td>
        </tr>`)}
      </tbody></table></div>
  </section>`;
