// Small things that every page shows alike.
import { html, useEffect, useState } from "./ui.js";
import { cut, httpUrl } from "./format.js";

/** A page's heading, what it is for, and its controls. */
export const Heading = ({ title, note, children }) => html`
  <header class="heading">
    <div><h1 tabindex="-1">${title}</h1>${note && html`<p class="muted">${note}</p>`}</div>
    ${children && html`<div class="tools">${children}</div>`}
  </header>`;

/** Something went wrong: said in words and with a mark, not by colour alone. */
export const Failure = ({ error }) => error && html`
  <p class="notice bad" role="alert"><${Icon} name="bad" /> ${cut(error.message ?? error, 500)}</p>`;

export const Notice = ({ children, kind = "info" }) => html`
  <p class=${`notice ${kind}`}><${Icon} name=${kind} /> ${children}</p>`;

/** Nothing to show, and what would change that. */
export const Empty = ({ title, children }) => html`
  <div class="empty"><p><strong>${title}</strong></p>${children && html`<p>${children}</p>`}</div>`;

/** kind: good, warn, bad or plain; the mark says the same as the colour. */
export const Badge = ({ kind = "plain", children }) => html`
  <span class=${`badge ${kind}`}>${kind !== "plain" && html`<${Icon} name=${kind} />`}${children}</span>`;

export const statusKind = (status) => (!status || status >= 500 ? "bad" : status >= 400 ? "warn" : "good");

/** An HTTP status; null is an answer that never came. */
export const Status = ({ status, error }) => html`
  <${Badge} kind=${error && status < 400 ? "bad" : statusKind(status)}>${status || "none"}<//>`;

/** A link to somewhere else, if it is http or https; else the text alone. */
export function Outside({ href, children }) {
  const url = httpUrl(href);
  if (!url) return html`<span>${children}</span>`;
  return html`<a href=${url} target="_blank" rel="noopener noreferrer">${children} <${Icon} name="out" /></a>`;
}

/** A button that copies `text()`, which may be a promise, and says that it did. */
export function Copy({ text, children }) {
  const [told, tell] = useState("");
  useEffect(() => {
    if (!told) return undefined;
    const timer = setTimeout(() => tell(""), 2000);
    return () => clearTimeout(timer);
  }, [told]);
  const copy = async () => {
    try {
      await toClipboard(await text());
      tell("Copied");
    } catch {
      tell("Could not be copied");
    }
  };
  return html`<button type="button" onClick=${copy}><${Icon} name="copy" /> ${children}
    <span role="status" class="told">${told}</span></button>`;
}

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // plain http on another host than localhost
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("refused");
  return undefined;
}

const SHAPES = {
  good: "M3 8.5l3.2 3.2L13 4.8",
  warn: "M8 2.2L15 14H1zM8 6.5v3.4M8 11.9v.2",
  bad: "M4 4l8 8M12 4l-8 8",
  info: "M8 7.2v4.3M8 4.4v.2M14.5 8a6.5 6.5 0 1 1-13 0 6.5 6.5 0 0 1 13 0z",
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  out: "M6 3H3v10h10v-3M9 3h4v4M13 3L7.5 8.5",
  pause: "M5.5 3v10M10.5 3v10",
  play: "M4.5 3l8 5-8 5z",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.3 10.3L14 14",
  down: "M8 2.5v8M4.5 7.5L8 11l3.5-3.5M3 13.5h10",
  close: "M4 4l8 8M12 4l-8 8",
  right: "M6 3.5L10.5 8 6 12.5",
  open: "M3.5 6L8 10.5 12.5 6",
  swap: "M2.5 5h11l-3-3M13.5 11h-11l3 3",
};

/** A line drawing of the size of the text; it says nothing to a screen reader. */
export const Icon = ({ name }) => html`
  <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${SHAPES[name] ?? ""} /></svg>`;
