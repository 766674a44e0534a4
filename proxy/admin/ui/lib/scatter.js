// Latency over time: one mark for each trace, or a heat map of how many there were.
//
// Failures are crosses and others are dots, so that colour is not the only sign.
import { html, useEffect, useMemo, useRef, useState } from "./ui.js";
import { clock, cut, ms } from "./format.js";

const W = 1000;
const H = 230;
const LEFT = 6;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 24;
const ACROSS = 48; // fields of the heat map
const DOWN = 12;

/** Traces by time and duration; `open(trace)` is what a click on a mark does. */
export function Scatter({ traces, heat, open, marked }) {
  const scales = useMemo(() => scaled(traces), [traces]);
  const [near, setNear] = useState(null);
  const box = useRef(null);
  const seek = (event) => {
    const frame = box.current.getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * W;
    const y = ((event.clientY - frame.top) / frame.height) * H;
    setNear(heat ? null : nearest(traces, scales, x, y, frame));
  };
  const slim = useWidth(box) / W; // px for one unit across
  const failed = traces.filter((trace) => trace.error).length;
  return html`
    <figure class="scatter"><div class="plot">
      <svg ref=${box} role="img" viewBox=${`0 0 ${W} ${H}`} preserveAspectRatio="none" class=${near ? "aimed" : ""}
        aria-label=${`Duration over time of ${traces.length} traces, ${failed} of them failed; the table below has the same`}
        onPointerMove=${seek} onPointerLeave=${() => setNear(null)} onClick=${() => near && open(near)}>
        ${scales.y.ticks.map((n) => html`<line class="grid" x1=${LEFT} x2=${W - RIGHT} y1=${scales.y.at(n)} y2=${scales.y.at(n)} />`)}
        ${heat ? html`<${Heat} traces=${traces} scales=${scales} />` : html`<${Marks} traces=${traces} scales=${scales} marked=${marked} slim=${slim} />`}
        ${near && html`<path class="aim" d=${dot(scales.x.at(near.start_unix_ms), scales.y.at(near.duration_ms))} />`}
      </svg>
      ${scales.y.ticks.map((n) => html`<span class="y" style=${{ top: `${(scales.y.at(n) / H) * 100}%` }}>${ms(n)}</span>`)}
      ${scales.x.ticks.map((t) => html`<span class="x" style=${{ left: `${(scales.x.at(t) / W) * 100}%` }}>${clock(t).slice(0, 8)}</span>`)}
      ${near && html`<span class=${`tip${scales.x.at(near.start_unix_ms) > W / 2 ? " before" : ""}`}
        style=${{ left: `${(scales.x.at(near.start_unix_ms) / W) * 100}%`, top: `${(scales.y.at(near.duration_ms) / H) * 100}%` }}>
        <strong>${ms(near.duration_ms)}</strong> ${cut(near.name, 60)} ${near.error ? "failed" : ""}</span>`}
    </div></figure>`;
}

const dot = (x, y) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`;

function useWidth(box) {
  const [width, setWidth] = useState(W);
  useEffect(() => {
    const watcher = new ResizeObserver(() => setWidth(box.current?.clientWidth || W));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  return width;
}

// Lines of no length with round ends are dots whatever the picture is stretched to; crosses are
// drawn for the width that it has.
function Marks({ traces, scales, marked, slim }) {
  const paths = useMemo(() => {
    const drawn = { good: "", bad: "", chosen: "" };
    const half = 4.5 / slim;
    for (const trace of traces) {
      const x = scales.x.at(trace.start_unix_ms);
      const y = scales.y.at(trace.duration_ms);
      if (trace.error) drawn.bad += `M${x - half} ${y - 4.5}l${2 * half} 9m0 -9l${-2 * half} 9`;
      else drawn.good += dot(x, y);
      if (marked?.includes(trace.trace_id)) drawn.chosen += dot(x, y);
    }
    return drawn;
  }, [traces, scales, marked, slim]);
  return html`<path class="chosen" d=${paths.chosen} /><path class="ok" d=${paths.good} /><path class="no" d=${paths.bad} />`;
}

function Heat({ traces, scales }) {
  const fields = useMemo(() => {
    const found = new Map();
    const width = (W - LEFT - RIGHT) / ACROSS;
    const height = (H - TOP - BOTTOM) / DOWN;
    for (const trace of traces) {
      const column = Math.min(ACROSS - 1, Math.floor((scales.x.at(trace.start_unix_ms) - LEFT) / width));
      const line = Math.min(DOWN - 1, Math.floor((scales.y.at(trace.duration_ms) - TOP) / height));
      const key = line * ACROSS + column;
      const field = found.get(key) ?? { column, line, all: 0, failed: 0 };
      field.all += 1;
      field.failed += trace.error ? 1 : 0;
      found.set(key, field);
    }
    const most = Math.max(1, ...[...found.values()].map((field) => field.all));
    return [...found.values()].map((field) => ({
      ...field, x: LEFT + field.column * width, y: TOP + field.line * height,
      width: width - 1, height: height - 1, strength: 0.2 + 0.8 * Math.sqrt(field.all / most),
    }));
  }, [traces, scales]);
  return fields.map((f) => html`
    <rect class="warmth" x=${f.x} y=${f.y} width=${f.width} height=${f.height} fill-opacity=${f.strength.toFixed(2)}>
      <title>${f.all} traces, ${f.failed} failed</title></rect>
    ${f.failed > 0 && html`<path class="no" d=${`M${f.x + 3} ${f.y + 3}L${f.x + f.width - 3} ${f.y + f.height - 3}M${f.x + f.width - 3} ${f.y + 3}L${f.x + 3} ${f.y + f.height - 3}`} />`}`);
}

function nearest(traces, scales, x, y, frame) {
  const stretch = [frame.width / W, frame.height / H];
  let found = null;
  let least = 14; // px
  for (const trace of traces) {
    const far = Math.hypot(
      (scales.x.at(trace.start_unix_ms) - x) * stretch[0],
      (scales.y.at(trace.duration_ms) - y) * stretch[1],
    );
    if (far < least) { least = far; found = trace; }
  }
  return found;
}

function scaled(traces) {
  const times = traces.map((trace) => trace.start_unix_ms);
  const spans = traces.map((trace) => Math.max(trace.duration_ms, 0.001));
  return { x: timeScale(Math.min(...times), Math.max(...times)), y: logScale(Math.min(...spans), Math.max(...spans)) };
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400];

function timeScale(from, to) {
  const width = Math.max(to - from, 1000);
  const begin = to - width;
  const step = (STEPS.find((s) => width / (s * 1000) <= 7) ?? 86_400) * 1000;
  const ticks = [];
  for (let t = Math.ceil(begin / step) * step; t <= to; t += step) ticks.push(t);
  return { ticks: ticks.slice(-9), at: (t) => LEFT + ((t - begin) / width) * (W - LEFT - RIGHT) };
}

function logScale(from, to) {
  const low = Math.floor(Math.log10(from) * 2) / 2;
  const high = Math.max(low + 0.5, Math.log10(to) + 0.05);
  const marks = high - low > 1.6 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power += 1)
    for (const mark of marks) ticks.push(mark * 10 ** power);
  const at = (n) => TOP + (1 - (Math.log10(Math.max(n, 0.001)) - low) / (high - low)) * (H - TOP - BOTTOM);
  return { ticks: ticks.filter((n) => at(n) >= TOP && at(n) <= H - BOTTOM + 1), at };
}
