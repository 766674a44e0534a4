// Where the person is: paths under /ui/ by the browser's history. Pages get it as `params`.
import { signal } from "./ui.js";

const BASE = "/ui";

/** {page, params}: the page's name, and the path's and query's parameters. */
export const here = signal(read());

function read() {
  const path = location.pathname.replace(/\/+$/, "");
  const [page = "", id = ""] = path.slice(BASE.length).split("/").filter(Boolean);
  const params = Object.fromEntries(new URLSearchParams(location.search));
  return { page: page || "live", params: { ...params, id: decoded(id) } };
}

function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

/** Go to a path such as "/ui/trace/…"; `replace` leaves no step to come back to. */
export function go(path, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", path);
  here.value = read();
}

/** "/ui/traces?…" of what is not empty in `params`. */
export function url(page, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params))
    if (value !== "" && value !== null && value !== undefined && value !== false)
      query.set(name, String(value));
  const text = query.toString();
  return `${BASE}/${page}${text ? `?${text}` : ""}`;
}

export const traceUrl = (id) => `${BASE}/trace/${encodeURIComponent(id)}`;

/** Follow links under /ui/ without loading the page again; all others are the browser's. */
export function takeLinks(root) {
  root.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.("a[href]");
    if (!link || link.target || link.hasAttribute("download")) return;
    const to = new URL(link.href);
    if (to.origin !== location.origin || !`${to.pathname}/`.startsWith(`${BASE}/`)) return;
    if (to.pathname === location.pathname && to.search === location.search && to.hash) return;
    event.preventDefault();
    go(to.pathname + to.search);
    scrollTo(0, 0);
  });
  addEventListener("popstate", () => { here.value = read(); });
}
