// A directed graph as a drawing: dagre lays it out, once for each set of nodes and edges, so that
// new numbers move nothing. What nodes and edges say is the page's.
import { dagre, html, useEffect, useId, useMemo, useRef, useState } from "./ui.js";

const NARROW = matchMedia("(max-width: 720px)");
const SPACE = 28; // between lines of edges and nodes

/** Whether the screen is a phone's, from now on. */
export function useNarrow() {
  const [narrow, set] = useState(NARROW.matches);
  useEffect(() => {
    const changed = () => set(NARROW.matches);
    NARROW.addEventListener("change", changed);
    return () => NARROW.removeEventListener("change", changed);
  }, []);
  return narrow;
}

/**
 * nodes: [{id, width, height}], edges: [{id, source, target, width, height}] of their labels;
 * -> {width, height, nodes: {id: {x, y}}, edges: {id: {path, x, y}}}, x and y of the middles.
 */
export function useLayout(nodes, edges, { down = false } = {}) {
  const shape = JSON.stringify([
    down, nodes.map((n) => [n.id, n.width, n.height]),
    edges.map((e) => [e.id, e.source, e.target, e.width, e.height]),
  ]);
  return useMemo(() => layOut(nodes, edges, down), [shape]);
}

function layOut(nodes, edges, down) {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({ rankdir: down ? "TB" : "LR", nodesep: SPACE, edgesep: SPACE / 2,
    ranksep: down ? 36 : 44, marginx: 14, marginy: 14 });
  for (const { id, width, height } of nodes) graph.setNode(id, { width, height });
  for (const { id, source, target, width, height } of edges)
    graph.setEdge(source, target, { width, height, labelpos: "c" }, id);
  dagre.layout(graph);
  const all = graph.graph();
  const found = { width: Math.ceil(all.width) || 0, height: Math.ceil(all.height) || 0, nodes: {}, edges: {} };
  for (const { id } of nodes) found.nodes[id] = at(graph.node(id));
  for (const { id, source, target } of edges) {
    const edge = graph.edge(source, target, id);
    const middle = edge.points[Math.floor(edge.points.length / 2)];
    found.edges[id] = { path: curve(edge.points), ...at(edge.x === undefined ? middle : edge) };
  }
  return found;
}

const at = ({ x, y }) => ({ x: Math.round(x), y: Math.round(y) });
const spot = ({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`;
const between = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });

/** Through the points' middles, so that there are no corners. */
function curve(points) {
  if (points.length < 3) return `M${points.map(spot).join("L")}`;
  let path = `M${spot(points[0])}`;
  for (let i = 1; i < points.length - 1; i += 1) {
    const end = i === points.length - 2 ? points[i + 1] : between(points[i], points[i + 1]);
    path += `Q${spot(points[i])} ${spot(end)}`;
  }
  return path;
}

const moved = ({ x, y }) => ({ transform: `translate(${x}px, ${y}px)` });

/** The drawing's frame: it scrolls where it does not fit, and shows its middle first. */
export function Graph({ layout, label, children }) {
  const { width, height } = layout;
  const frame = useRef(null);
  useEffect(() => {
    const box = frame.current;
    if (box) box.scrollLeft = (box.scrollWidth - box.clientWidth) / 2;
  }, [width]);
  return html`
    <div class="graph" ref=${frame} tabindex="0" role="group" aria-label=${label}>
      <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`}>${children}</svg>
    </div>`;
}

/** An edge's line with its arrow; `kind` is a class of it. Children are the label, around 0 0. */
export function Edge({ place, kind = "", name, weight = 1.5, children }) {
  const mark = useId();
  if (!place) return null;
  return html`
    <g class=${`edge ${kind}`} data-edge=${name}>
      <marker id=${mark} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
        markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0L8 4L0 8z" /></marker>
      <path class="wire" d=${place.path} stroke-width=${weight} marker-end=${`url(#${mark})`} />
      ${children && html`<g class="label" style=${moved(place)}>${children}</g>`}
    </g>`;
}

/** Some lines of text in a box around 0 0: [{text, kind}]. */
export function Label({ lines, width, line = 15 }) {
  const height = lines.length * line + 6;
  return html`
    <rect class="plate" x=${-width / 2} y=${-height / 2} width=${width} height=${height} rx="5" />
    ${lines.map(({ text, kind = "" }, i) => html`
      <text class=${kind} y=${-height / 2 + 3 + line * (i + 0.76)}>${text}</text>`)}`;
}

/** A box with a title and lines below it, and a link where `href` is. */
export function Node({ place, width, height, kind = "", href, label, title, lines = [], ...more }) {
  if (!place) return null;
  const inside = html`
    <rect class="box" x=${-width / 2} y=${-height / 2} width=${width} height=${height} rx="9" />
    <text class="name" y=${lines.length ? -height / 2 + 21 : 5}>${title}</text>
    ${lines.map(({ text, kind: how = "" }, i) => html`
      <text class=${`line ${how}`} y=${-height / 2 + 38 + i * 15}> ${text}</text>`)}`;
  return html`
    <g class=${`node ${kind}`} style=${moved(place)} ...${more}>
      <title>${label}</title>
      ${href ? html`<a href=${href}>${inside}</a>` : inside}
    </g>`;
}

/** How wide a text of the graph's size is, about; never more than `most` pixels. */
export const wide = (text, { most = 240, least = 60, each = 8.2 } = {}) =>
  Math.round(Math.min(most, Math.max(least, String(text).length * each + 24)));

/** What fits into a width of `wide`. */
export const fitted = (text, width, each = 8.2) => {
  const room = Math.floor((width - 18) / each);
  const all = String(text);
  return all.length > room ? `${all.slice(0, Math.max(1, room - 1))}…` : all;
};
