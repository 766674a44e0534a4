// The request of a trace as a command for a shell. Every word of it comes from strangers.

/** In single quotes, in which a shell reads nothing but the next single quote. */
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// A terminal acts on control characters that are pasted, whatever the shell thinks of quotes.
const UNPRINTABLE = /[^\x21-\x7e]/gu;
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/; // RFC 9110 §5.6.2

/** The first SERVER span that says where a request went; null where none does. */
export function asked(spans) {
  return spans.find((span) => span.kind === "server" && requestUrl(span.attributes) !== null) ?? null;
}

function requestUrl(about) {
  const text = typeof about["url.full"] === "string" ? about["url.full"] : built(about);
  if (text === null) return null;
  // Percent-encoded, as it was on its way; the URL parser would also tidy dots away.
  const safe = text.replaceAll(UNPRINTABLE, (mark) => encodeURIComponent(mark.isWellFormed() ? mark : "?"));
  return /^https?:\/\//i.test(safe) ? safe : null;
}

function built(about) {
  const scheme = about["url.scheme"];
  const host = about["server.address"];
  if (typeof host !== "string" || !host || typeof about["url.path"] !== "string") return null;
  if (scheme !== "http" && scheme !== "https") return null;
  const port = Number(about["server.port"]);
  const usual = !port || port === (scheme === "https" ? 443 : 80);
  const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const query = about["url.query"];
  return `${scheme}://${name}${usual ? "" : `:${port}`}${about["url.path"]}${typeof query === "string" && query ? `?${query}` : ""}`;
}

/** A command of curl for a span that `asked` has found. */
export function curl({ attributes }) {
  const words = ["curl", "--globoff", "--path-as-is"];
  const method = attributes["http.request.method_original"] ?? attributes["http.request.method"];
  if (method === "HEAD") words.push("--head");
  else if (typeof method === "string" && method !== "GET" && TOKEN.test(method)) words.push("-X", quoted(method));
  const agent = attributes["user_agent.original"];
  if (typeof agent === "string" && agent) words.push("-A", quoted(agent.replaceAll(/[^\x20-\x7e]/gu, "?")));
  words.push(quoted(requestUrl(attributes)));
  return words.join(" ");
}
