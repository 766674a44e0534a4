// A span's line in a list: who, whom if it asked somebody, how it failed, which try it was, what.
import { html } from "./ui.js";
import { cut } from "./format.js";
import { peerOf } from "./tree.js";

export function Names({ span }) {
  const peer = peerOf(span);
  const again = span.attributes["http.request.resend_count"];
  const why = span.status === "error" ? span.attributes["error.type"] : null;
  return html`<span class="muted">${cut(span.service || "(no service)", 40)}${peer && html`<span class="unseen"> to</span><span aria-hidden="true"> →</span>`}</span>
    ${peer && html` <strong>${cut(peer, 40)}</strong>`}
    ${typeof why === "string" ? html` <span class="bad small">${cut(why, 40)}</span>` : ""}
    ${typeof again === "number" && again > 0 ? html` <span class="muted small">try ${again + 1}</span>` : ""}
    ${" "}${cut(span.name || "(no name)", 120)}`;
}
