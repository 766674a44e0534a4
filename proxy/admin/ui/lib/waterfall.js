// The waterfall: spans as bars over time, with their phases inside, and what is critical below.
//
// One stop of the Tab key: up and down move, left and right fold and unfold or go to the parent and
// the first child, Enter opens the details, + and - change the range of time around the selection.
import { html, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "./ui.js";
import { cut, digits, us } from "./format.js";
import { Names } from "./names.js";
import { Icon } from "./parts.js";
import { reveal, useSight } from "./table.js";
import { below, extent, matching, nextOf, parentOf, partyOf, shownLines, ticks, unfoldedFor } from "./tree.js";

const RULER = 30; // px

export const PHASES = {
  queue: "queue", connect: "connect", first_byte: "first byte", transfer: "transfer", overhead: "overhead",
};

export function Waterfall({ spans, hues, selected, select, open }) {
  const id = useId();
  const box = useRef(null);
  const [folded, setFolded] = useState(new Set());
  const whole = useMemo(() => extent(spans), [spans]);
  const [range, setRange] = useState(whole);
  useEffect(() => setRange(whole), [whole]);
  const counts = useMemo(() => below(spans), [spans]);
  const lines = useMemo(() => shownLines(spans, counts, folded), [spans, counts, folded]);
  const rowHeight = useRowHeight();
  const { first, last } = useSight(box, lines.length, rowHeight);
  const at = lines.findIndex((index) => spans[index].span_id === selected);

  useLayoutEffect(() => { if (at >= 0) reveal(box.current, at, rowHeight, RULER); }, [selected]);

  const fold = (span, on) => setFolded((old) => {
    const now = new Set(old);
    if (on) now.add(span.span_id); else now.delete(span.span_id);
    return now;
  });
  const [words, setWords] = useState("");
  const hits = useMemo(() => matching(spans, words), [spans, words]);
  const seek = (event) => {
    event.preventDefault();
    if (!hits.size) return;
    const found = nextOf(spans, hits, selected);
    setFolded((old) => unfoldedFor(spans, spans.findIndex((span) => span.span_id === found), old));
    select(found);
  };
  const moveTo = (line) => select(spans[lines[Math.max(0, Math.min(lines.length - 1, line))]].span_id);
  const keys = {
    ArrowDown: () => moveTo(at + 1),
    ArrowUp: () => moveTo(at - 1),
    PageDown: () => moveTo(at + 10),
    PageUp: () => moveTo(at - 10),
    Home: () => moveTo(0),
    End: () => moveTo(lines.length - 1),
    ArrowLeft: () => {
      const index = lines[at];
      if (counts[index] && !folded.has(selected)) fold(spans[index], true);
      else if (parentOf(spans, index) >= 0) select(spans[parentOf(spans, index)].span_id);
    },
    ArrowRight: () => {
      if (folded.has(selected)) fold(spans[lines[at]], false);
      else if (counts[lines[at]]) moveTo(at + 1);
    },
    Enter: open,
    " ": open,
    "+": () => setRange(around(spans[lines[at]], range, whole, 0.5)),
    "-": () => setRange(around(spans[lines[at]], range, whole, 2)),
    "0": () => setRange(whole),
  };
  const onKey = (event) => {
    if (event.target !== box.current || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[event.key === "=" ? "+" : event.key];
    if (!act || !lines.length) return;
    event.preventDefault();
    if (at < 0) moveTo(0);
    else act();
  };
  const zoomed = range[0] !== whole[0] || range[1] !== whole[1];
  return html`
    <${Overview} spans=${spans} hues=${hues} whole=${whole} range=${range} setRange=${setRange} />
    <div class="strip small keys">
      <${Legend} />
      <form class="tools push" role="search" aria-label="Find spans" onSubmit=${seek}>
        <input type="search" class="w-m" aria-label="Find in spans; Enter goes to the next" placeholder="Find in spans"
          value=${words} onInput=${(event) => setWords(event.target.value)} />
        <span role="status" class="found">${words.trim() ? `${digits(hits.size)} found` : ""}</span>
      </form>
      <div class="tools">
        ${zoomed && html`<button type="button" onClick=${() => setRange(whole)}>Whole trace</button>`}
        <button type="button" onClick=${() => setFolded(new Set(spans.filter((s, i) => counts[i] && s.depth > 0).map((s) => s.span_id)))}>Fold all</button>
        <button type="button" onClick=${() => setFolded(new Set())} disabled=${!folded.size}>Unfold all</button>
      </div>
    </div>
    <div class="rows fall" role="treegrid" tabindex="0" ref=${box} aria-label="Spans; arrows move, Enter shows details"
      aria-rowcount=${lines.length + 1} aria-activedescendant=${at >= first && at < last ? `${id}-${selected}` : undefined} onKeyDown=${onKey}
      style=${{ height: `min(${lines.length * rowHeight + RULER + 4}px, max(16rem, 62vh))` }}>
      <div class="head ruler" role="rowgroup"><div role="row" class="span" aria-rowindex="1">
        <div role="columnheader" class="name">Service and span</div>
        <div role="columnheader" class="track" aria-label="Time">
          ${ticks(range).filter((t) => share(t, range) < 0.93).map((t) => html`<span class="tick" style=${{ left: part(t, range) }}>${us(t)}</span>`)}</div>
      </div></div>
      <div class="body" role="rowgroup" style=${{ height: `${lines.length * rowHeight}px` }}>
        ${lines.slice(first, last).map((index, offset) => html`<${Line} key=${spans[index].span_id} id=${`${id}-${spans[index].span_id}`}
          span=${spans[index]} hue=${hues.get(partyOf(spans[index]))} line=${first + offset} height=${rowHeight} range=${range}
          under=${counts[index]} folded=${folded.has(spans[index].span_id)} at=${spans[index].span_id === selected} hit=${hits.has(spans[index].span_id)} fold=${fold} select=${select} />`)}
      </div>
    </div>`;
}

function useRowHeight() {
  const narrow = useMemo(() => matchMedia("(max-width: 720px)"), []);
  const [height, setHeight] = useState(narrow.matches ? 48 : 30);
  useEffect(() => {
    const change = () => setHeight(narrow.matches ? 48 : 30);
    narrow.addEventListener("change", change);
    return () => narrow.removeEventListener("change", change);
  }, []);
  return height;
}

const share = (t, [from, to]) => (t - from) / (to - from);
const part = (t, range) => `${(share(t, range) * 100).toFixed(4)}%`;

function around(span, [from, to], whole, factor) {
  const width = Math.max(1, (to - from) * factor);
  const middle = span.start_us + span.duration_us / 2;
  const begin = Math.max(whole[0], Math.min(middle - width / 2, whole[1] - width));
  return [begin, Math.min(whole[1], begin + width)];
}

const Legend = () => html`
  <ul class="phases" aria-label="Signs in the bars">
    ${Object.entries(PHASES).map(([name, title]) => html`<li><span class=${`swatch phase ${name}`} aria-hidden="true" /> ${title}</li>`)}
    <li><span class="swatch line" aria-hidden="true" /> critical path</li>
    <li><span class="diamond" aria-hidden="true">◆</span> event</li>
    <li class="bad"><${Icon} name="bad" /> error</li>
  </ul>`;

function Line({ id, span, hue, line, height, range, under, folded, at, hit, fold, select }) {
  const failed = span.status === "error";
  return html`
    <div role="row" id=${id} aria-rowindex=${line + 2} aria-level=${span.depth + 1} aria-selected=${at}
      aria-expanded=${under ? !folded : undefined} class=${`span${at ? " at" : ""}${failed ? " failed" : ""}${hit ? " hit" : ""}`}
      onClick=${() => select(span.span_id)} style=${{ height: `${height}px`, transform: `translateY(${line * height}px)` }}>
      <div role="gridcell" class="name clip" style=${{ paddingLeft: `${Math.min(span.depth, 24) * 14 + 6}px` }}>
        ${under ? html`<span class="fold" onClick=${(event) => { event.stopPropagation(); fold(span, !folded); }}>
          <${Icon} name=${folded ? "right" : "open"} /></span>` : html`<span class="fold" />`}
        <span class=${`dot hue${hue}`} aria-hidden="true" />
        ${failed && html`<span class="bad"><${Icon} name="bad" /><span class="unseen">failed </span></span>`}
        <${Names} span=${span} />
        ${folded && html` <span class="muted small">+${under}</span>`}
      </div>
      <div role="gridcell" class="track">
        <div class=${`bar hue${hue}${failed ? " failed" : ""}`} data-span-id=${span.span_id}
          style=${{ left: part(span.start_us, range), width: part(range[0] + span.duration_us, range) }}>
          ${span.phases.map((phase) => html`<span class=${`phase ${phase.name in PHASES ? phase.name : "overhead"}`}
            title=${`${PHASES[phase.name] ?? cut(phase.name, 40)}: ${us(phase.duration_us)}`} style=${within(phase, span)} />`)}
        </div>
        ${span.critical.map(([from, to]) => html`<span class="critical" style=${{ left: part(from, range), width: part(range[0] + to - from, range) }} />`)}
        ${span.events.slice(0, 50).map((event) => html`<span class="diamond" title=${cut(event.name, 80)} style=${{ left: part(event.time_us, range) }}>◆</span>`)}
        <${Took} span=${span} range=${range} />
      </div>
    </div>`;
}

// Behind the bar, before it, or inside it: where the duration has room.
function Took({ span, range }) {
  const from = Math.max(0, share(span.start_us, range));
  const to = Math.min(1, share(span.start_us + span.duration_us, range));
  const right = `${((1 - to) * 100).toFixed(3)}%`;
  const [place, style] = to < 0.84 ? ["", { left: `${(Math.max(0, to) * 100).toFixed(3)}%` }]
    : from > 0.16 ? ["before", { right: `${((1 - Math.min(1, from)) * 100).toFixed(3)}%` }] : ["inside", { right }];
  return html`<span class=${`took ${place}`} style=${style}>${us(span.duration_us)}
    ${span.critical.length > 0 && html`<span class="unseen"> on the critical path</span>`}</span>`;
}

const within = (phase, span) => {
  const whole = Math.max(span.duration_us, 1e-3);
  const left = Math.max(0, (phase.start_us - span.start_us) / whole);
  return { left: `${left * 100}%`, width: `${Math.min(1 - left, phase.duration_us / whole) * 100}%` };
};

const DEEP = 56; // px, of the overview

/** All spans as thin lines; a drag over them chooses a range of time. */
function Overview({ spans, hues, whole, range, setRange }) {
  const box = useRef(null);
  const [held, setHeld] = useState(null);
  const time = (event) => {
    const frame = box.current.getBoundingClientRect();
    const x = Math.max(0, Math.min(1, (event.clientX - frame.left) / frame.width));
    return whole[0] + x * (whole[1] - whole[0]);
  };
  const down = (event) => { box.current.setPointerCapture(event.pointerId); setHeld([time(event), time(event)]); };
  const up = () => {
    const [from, to] = [...held].sort((a, b) => a - b);
    setHeld(null);
    if (to - from > (whole[1] - whole[0]) / 200) setRange([from, to]);
  };
  const paths = useMemo(() => overviewPaths(spans, hues, whole), [spans, hues, whole]);
  const [from, to] = held ? [...held].sort((a, b) => a - b) : range;
  return html`
    <div class="overview" ref=${box} onPointerDown=${down} onPointerMove=${(event) => held && setHeld([held[0], time(event)])}
      onPointerUp=${() => held && up()} onPointerCancel=${() => setHeld(null)}>
      <svg role="img" aria-label=${`All ${digits(spans.length)} spans; drag to look at a part of the time`} viewBox=${`0 0 1000 ${DEEP}`} preserveAspectRatio="none">
        ${paths.map(([kind, path]) => html`<path class=${kind} d=${path} />`)}
      </svg>
      <span class="shade" style=${{ left: 0, width: part(from, whole) }} />
      <span class="shade" style=${{ left: part(to, whole), right: 0 }} />
    </div>`;
}

function overviewPaths(spans, hues, whole) {
  const step = Math.min(6, (DEEP - 4) / Math.max(1, spans.length));
  const paths = new Map();
  spans.forEach((span, index) => {
    const kind = span.status === "error" ? "failed" : `hue${hues.get(partyOf(span))}`;
    const x = share(span.start_us, whole) * 1000;
    const width = Math.max(2, (span.duration_us / (whole[1] - whole[0])) * 1000);
    const y = 2 + index * step + step / 2;
    paths.set(kind, `${paths.get(kind) ?? ""}M${x.toFixed(1)} ${y.toFixed(2)}h${width.toFixed(1)}`);
  });
  return [...paths];
}
