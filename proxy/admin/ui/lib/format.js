// Numbers, times and strangers' text as people read them. Nothing here knows a page.

const NONE = "–";
const known = (n) => typeof n === "number" && Number.isFinite(n);

/** About three digits: 1234 -> "1,234", 12.345 -> "12.3", 0.1234 -> "0.123". */
export function digits(n) {
  if (!known(n)) return NONE;
  const size = Math.abs(n);
  if (size >= 1000) return Math.round(n).toLocaleString("en");
  const places = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return String(Number(n.toFixed(places)));
}

/** A duration in milliseconds: "250 µs", "1.23 ms", "4.5 s", "3 min 5 s". */
export function ms(n) {
  if (!known(n)) return NONE;
  const size = Math.abs(n);
  if (size === 0) return "0 ms";
  if (size < 1) return `${digits(n * 1000)} µs`;
  if (size < 1000) return `${digits(n)} ms`;
  if (size < 60_000) return `${digits(n / 1000)} s`;
  const seconds = Math.round(size / 1000);
  return `${n < 0 ? "-" : ""}${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** The same for microseconds. */
export const us = (n) => (known(n) ? ms(n / 1000) : NONE);

/** Something per second. */
export const rate = (n) => (known(n) ? `${digits(n)}/s` : NONE);

/** A share of one: 0.123 -> "12.3 %". */
export const percent = (x) => (known(x) ? `${digits(x * 100)} %` : NONE);

export const count = (n) => (known(n) ? Math.round(n).toLocaleString("en") : NONE);

/** Bytes in steps of 1024. */
export function bytes(n) {
  if (!known(n)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (Math.abs(n) >= 1024 && at < units.length - 1) { n /= 1024; at += 1; }
  return `${digits(n)} ${units[at]}`;
}

const two = (n) => String(n).padStart(2, "0");

/** The time of day here, to the millisecond. */
export function clock(unixMs) {
  if (!known(unixMs)) return NONE;
  const at = new Date(unixMs);
  const millis = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${millis}`;
}

/** Date and time here. */
export function moment(unixMs) {
  if (!known(unixMs)) return NONE;
  const at = new Date(unixMs);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(unixMs)}`;
}

/** How long ago: "now", "12 s ago", "3 min ago". */
export function ago(unixMs, now = Date.now()) {
  if (!known(unixMs)) return "never";
  const seconds = Math.max(0, (now - unixMs) / 1000);
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

export const shortId = (id) => String(id ?? "").slice(0, 8);

// Controls, and what changes the direction of text or has no width: none of it may act here.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

const named = (mark) => `⟨U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

/** Text of strangers with what cannot be seen made visible; tabs and line ends stay. */
export const visible = (text) => String(text ?? "").replace(UNSEEN, named);

/** The same, cut to `most` characters. */
export function cut(text, most = 300) {
  const all = String(text ?? "");
  return all.length > most ? `${visible(all.slice(0, most))}…` : visible(all);
}

/** The URL if it is http or https, else null: nothing else becomes a link. */
export function httpUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}
