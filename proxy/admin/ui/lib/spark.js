// A line of some minutes in the size of a word.
import { html } from "./ui.js";

const W = 100;
const H = 30;

/**
 * lines: [{values: [number|null], kind}] over one scale from 0; kind is a class: area, line, faint
 * or bars. `label` says in words what is seen.
 */
export function Spark({ lines, label, height = 40, most = 0 }) {
  const top = Math.max(most, 1e-9, ...lines.flatMap((line) => line.values.map((n) => n ?? 0)));
  return html`
    <svg class="spark" role="img" aria-label=${label} viewBox=${`0 0 ${W} ${H}`}
      preserveAspectRatio="none" style=${{ height: `${height}px` }}>
      ${lines.map((line) => html`<path class=${line.kind} d=${drawn(line, top)} />`)}
    </svg>`;
}

function drawn({ values, kind }, top) {
  const step = W / Math.max(1, values.length - 1);
  const x = (index) => (index * step).toFixed(2);
  const y = (n) => (H - 1 - (n / top) * (H - 3)).toFixed(2);
  // Few errors among many requests are seen too.
  if (kind === "bars") return values.map((n, i) => (n ? `M${x(i)} ${H}V${Math.min(y(n), H - 4)}` : "")).join("");
  let path = "";
  let open = false; // a gap is not drawn over
  values.forEach((n, i) => {
    if (n === null || n === undefined) { open = false; return; }
    path += `${open ? "L" : "M"}${x(i)} ${y(n)}`;
    open = true;
  });
  if (kind === "area" && path) return `M0 ${H}${path.replace(/M/g, "L")}L${W} ${H}Z`;
  return path;
}
