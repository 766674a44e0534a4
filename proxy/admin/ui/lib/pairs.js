// Two traces side by side: which span of one is which of the other. No drawing.
import { peerOf } from "./tree.js";

/**
 * Lines {a, b, depth, key}: spans of both in the order of `a`, those that only `b` has after the
 * one they follow there. A pair has the same service, kind, name and peer, and is the same one of
 * its like: the first GET with the first GET.
 */
export function paired(spansA, spansB) {
  const keysB = keyed(spansB);
  const placeB = new Map(keysB.map((key, index) => [key, index]));
  const keysA = keyed(spansA);
  const known = new Set(keysA);
  const after = new Map(); // by key of a pair, or "": spans of b alone that follow
  let last = "";
  spansB.forEach((span, index) => {
    if (known.has(keysB[index])) { last = keysB[index]; return; }
    if (!after.has(last)) after.set(last, []);
    after.get(last).push({ a: null, b: span, depth: span.depth, key: `b ${keysB[index]}` });
  });
  const lines = [...(after.get("") ?? [])];
  spansA.forEach((span, index) => {
    const place = placeB.get(keysA[index]);
    const b = place === undefined ? null : spansB[place];
    lines.push({ a: span, b, depth: span.depth, key: `a ${keysA[index]}` });
    if (b) lines.push(...(after.get(keysA[index]) ?? []));
  });
  return lines;
}

function keyed(spans) {
  const seen = new Map();
  return spans.map((span) => {
    const like = JSON.stringify([span.service, span.kind, peerOf(span), span.name]);
    const ordinal = seen.get(like) ?? 0;
    seen.set(like, ordinal + 1);
    return `${like}${ordinal}`;
  });
}

/** b's duration less a's, in µs; null where one of them is missing. */
export const difference = ({ a, b }) => (a && b ? b.duration_us - a.duration_us : null);
