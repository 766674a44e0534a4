// Lines over time with axes, by uPlot: for what deserves more room than a spark.
import { html, uPlot, useEffect, useRef } from "./ui.js";

// Its style sheet, for pages that have a chart.
const sheet = document.createElement("link");
sheet.rel = "stylesheet";
sheet.href = new URL("../vendor.css", import.meta.url).href;
document.head.append(sheet);

/**
 * times: Unix seconds; lines: [{name, values, colour, dash, format}], colour a custom property of
 * style.css. All lines have one scale from 0. `label` says in words what is seen.
 */
export function Chart({ times, lines, label, height = 180 }) {
  const box = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const place = box.current; // told of its size once more when it has left the page
    const made = new uPlot(options(lines, height, place), [[], ...lines.map(() => [])], place);
    const fit = () => place.isConnected && made.setSize({ width: place.clientWidth, height });
    const watcher = new ResizeObserver(fit);
    watcher.observe(place);
    // Canvas knows no custom properties: another theme is another drawing.
    const theme = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => made.redraw(false);
    const marked = new MutationObserver(redraw);
    theme.addEventListener("change", redraw);
    marked.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    plot.current = made;
    return () => {
      watcher.disconnect();
      marked.disconnect();
      theme.removeEventListener("change", redraw);
      made.destroy();
    };
  }, []);
  useEffect(() => { plot.current.setData([times, ...lines.map((line) => line.values)]); }, [times, lines]);
  return html`<div class="chart" role="img" aria-label=${label} ref=${box} />`;
}

function options(lines, height, box) {
  // light-dark() is settled where it is used, and so an element has to use it.
  const probe = document.createElement("span");
  probe.hidden = true;
  box.append(probe);
  const colour = (name) => () => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const axis = { stroke: colour("--muted"), font: "11px system-ui", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width: box.clientWidth,
    height,
    cursor: { y: false, points: { size: 7 } },
    scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.08, 1e-9)] } },
    axes: [
      { ...axis, values: (_, found) => found.map((t) => new Date(t * 1000).toTimeString().slice(0, 8)), space: 90, size: 26 },
      { ...axis, values: (_, found) => found.map((n) => lines[0].format(n)), size: 62 },
    ],
    series: [
      { label: "Time", value: (_, t) => (t === null ? "–" : new Date(t * 1000).toTimeString().slice(0, 8)) },
      ...lines.map((line) => ({
        label: line.name, stroke: colour(line.colour), width: 1.6, dash: line.dash, points: { show: false },
        value: (_, n) => line.format(n),
      })),
    ],
  };
}
