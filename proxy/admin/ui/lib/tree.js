// Spans of a trace as lines of a tree: which are shown, where each one stands, what is selected.
// No drawing; spans come in tree order, depth first, each with its depth.

/** By index, how many spans are below each one. */
export function below(spans) {
  const counts = new Array(spans.length).fill(0);
  const open = []; // indices of those whose children may follow
  spans.forEach((span, index) => {
    while (open.length && spans[open.at(-1)].depth >= span.depth) close(open, counts, index);
    open.push(index);
  });
  while (open.length) close(open, counts, spans.length);
  return counts;
}

function close(open, counts, end) {
  const index = open.pop();
  counts[index] = end - index - 1;
}

/** Indices of the spans that are not inside a folded one. */
export function shownLines(spans, counts, folded) {
  const lines = [];
  for (let index = 0; index < spans.length; index += 1) {
    lines.push(index);
    if (folded.has(spans[index].span_id)) index += counts[index];
  }
  return lines;
}

/** The index of the span above, or -1. */
export function parentOf(spans, index) {
  const { depth } = spans[index];
  for (let at = index - 1; at >= 0; at -= 1) if (spans[at].depth < depth) return at;
  return -1;
}

/** Whom a span asked, if it says so and asked somebody; else "". */
export function peerOf({ kind, attributes }) {
  if (kind !== "client" && kind !== "producer") return "";
  const named = attributes["service.peer.name"] ?? attributes["peer.service"];
  return typeof named === "string" ? named : "";
}

/** Whose time a span's is: of whom it asked, else its own service's. */
export const partyOf = (span) => peerOf(span) || span.service;

/** By party a number from 0 to 7, in the order in which they appear. */
export function colours(spans) {
  const found = new Map();
  for (const span of spans) if (!found.has(partyOf(span))) found.set(partyOf(span), found.size % 8);
  return found;
}

/** [from, to] in µs of all spans, of at least 1 µs. */
export function extent(spans) {
  let from = Infinity;
  let to = -Infinity;
  for (const span of spans) {
    from = Math.min(from, span.start_us);
    to = Math.max(to, span.start_us + span.duration_us);
  }
  if (!(from < Infinity)) return [0, 1];
  return [from, Math.max(to, from + 1)];
}

/** Round times in a range, about `about` of them. */
export function ticks([from, to], about = 6) {
  const rough = (to - from) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let n = Math.ceil(from / step); n * step <= to; n += 1) found.push(n * step);
  return found;
}

/** What of a span's time none of its children covers, in µs. */
export function ownTime(spans, index, counts) {
  const span = spans[index];
  const end = span.start_us + span.duration_us;
  const parts = [];
  for (let at = index + 1; at <= index + counts[index]; at += 1 + counts[at])
    parts.push([Math.max(span.start_us, spans[at].start_us), Math.min(end, spans[at].start_us + spans[at].duration_us)]);
  parts.sort((a, b) => a[0] - b[0]);
  let covered = 0;
  let last = span.start_us;
  for (const [from, to] of parts) {
    covered += Math.max(0, to - Math.max(from, last));
    last = Math.max(last, to);
  }
  return span.duration_us - covered;
}

const texts = new WeakMap(); // by span all that is searched of it, in small letters

function textOf(span) {
  if (!texts.has(span))
    texts.set(span, JSON.stringify([span.name, span.service, span.kind, span.status, span.message, span.span_id,
      span.attributes, span.events]).toLowerCase());
  return texts.get(span);
}

/** Ids of the spans that have `words` in their name, service, ids, attributes or events. */
export function matching(spans, words) {
  const wanted = words.trim().toLowerCase();
  if (!wanted) return new Set();
  return new Set(spans.filter((span) => textOf(span).includes(wanted)).map((span) => span.span_id));
}

/** The next id of `hits` after `selected`, in the order of `spans`, beginning again at the end. */
export function nextOf(spans, hits, selected) {
  const at = spans.findIndex((span) => span.span_id === selected);
  const turned = [...spans.slice(at + 1), ...spans.slice(0, at + 1)];
  return turned.find((span) => hits.has(span.span_id))?.span_id ?? selected;
}

/** `folded` without whatever hides the span at `index`. */
export function unfoldedFor(spans, index, folded) {
  const open = new Set(folded);
  for (let at = parentOf(spans, index); at >= 0; at = parentOf(spans, at)) open.delete(spans[at].span_id);
  return open;
}
