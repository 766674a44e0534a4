// The gateway's answers: JSON, polled JSON, and event streams, all with the bearer token.
//
// The token is asked for when the gateway first says 401, and kept for this tab alone.
// EventSource cannot send it, and so streams are read by fetch.
import { signal, useEffect, useState } from "./ui.js";

const KEY = "spangate-token";

/** What the shell shows: {wrong} while a token is asked for, else null. */
export const asking = signal(null);

let token = stored();
let answered = null; // the promise of the token that is asked for
let answer = null;
let declined = false; // nobody is asked twice by pages that ask the gateway every second

function stored() {
  try { return sessionStorage.getItem(KEY) ?? ""; } catch { return ""; }
}

/** The person has typed a token, or has closed the question by giving none. */
export function giveToken(text) {
  token = text.trim();
  try { sessionStorage.setItem(KEY, token); } catch { /* a browser that keeps nothing */ }
  declined = token === "";
  asking.value = null;
  answer?.(token !== "");
  answered = answer = null;
}

function askToken() {
  if (declined) return Promise.resolve(false);
  answered ??= new Promise((resolve) => { answer = resolve; });
  asking.value = { wrong: token !== "" };
  return answered;
}

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options) {
  for (;;) {
    const used = token;
    const headers = { ...options.headers };
    if (used) headers.authorization = `Bearer ${used}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", redirect: "error" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "The gateway does not answer.");
    }
    if (response.status === 401) {
      // Another request may have got a new token in the meantime.
      if (used !== token || (await askToken())) continue;
    }
    if (!response.ok) throw new ApiError(response.status, await reason(response));
    return response;
  }
}

async function reason(response) {
  const text = (await response.text().catch(() => "")).trim();
  try {
    const told = JSON.parse(text).error;
    if (typeof told === "string" && told) return told;
  } catch { /* not JSON: as it is */ }
  return text.slice(0, 300) || `${response.status} ${response.statusText}`;
}

/** JSON of `path`; throws an Error with `.status` (0: no answer) and `.message`. */
export async function getJson(path, { signal: abort } = {}) {
  const response = await request(path, { signal: abort, headers: { accept: "application/json" } });
  return response.json();
}

/** Sends what changes something; the header is what no other site's form can send. */
export async function send(method, path, body) {
  const headers = { "x-spangate": "1", "content-type": "application/json" };
  const response = await request(path, { method, headers, body: JSON.stringify(body ?? {}) });
  const text = await response.text();
  try { return JSON.parse(text); } catch { return text; }
}

const DEAR = 5; // what takes long to answer is asked for less often: at most a sixth of the time

/**
 * JSON of `path` now and every `everyMs` (0: once): {data, error}. The last data stays beside an
 * error. Nothing is asked while nobody looks at the tab, nor for a path that is null.
 */
export function usePolled(path, everyMs = 2000) {
  const [state, setState] = useState({ data: null, error: null, path: null });
  useEffect(() => {
    if (path === null) return undefined;
    const abort = new AbortController();
    let timer = 0;
    const turn = async () => {
      clearTimeout(timer);
      const begin = performance.now();
      let took = 0;
      try {
        const data = await getJson(path, { signal: abort.signal });
        took = performance.now() - begin;
        setState({ data, error: null, path });
      } catch (error) {
        if (abort.signal.aborted) return;
        setState((old) => ({ data: old.path === path ? old.data : null, error, path }));
      }
      if (everyMs > 0 && !document.hidden && !abort.signal.aborted)
        timer = setTimeout(turn, Math.max(everyMs, DEAR * took));
    };
    const shown = () => { if (!document.hidden && everyMs > 0) turn(); };
    document.addEventListener("visibilitychange", shown);
    turn();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [path, everyMs]);
  return state.path === path ? state : { data: null, error: null };
}

const pause = (millis, abort) => new Promise((resolve) => {
  const timer = setTimeout(resolve, millis);
  abort?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

/**
 * Server-sent events of `path`, again and again until `signal` is aborted. `onEvent` gets
 * {event, data, id}, data as text. `onState` gets "open", and "waiting" with the error between
 * two connections. Resolves when aborted; throws for what will not change by waiting (4xx).
 */
export async function stream(path, onEvent, { signal: abort, onState = () => {} } = {}) {
  let last = "";
  const noted = (event) => {
    if (event.id !== null) last = event.id;
    onEvent(event);
  };
  for (let wait = 500; !abort?.aborted; wait = Math.min(wait * 2, 10_000)) {
    let failure = null;
    try {
      const headers = { accept: "text/event-stream" };
      if (last) headers["last-event-id"] = last;
      const response = await request(path, { signal: abort, headers });
      onState("open", null);
      wait = 500;
      await readEvents(response.body, noted);
    } catch (error) {
      if (abort?.aborted) return;
      if (error.status >= 400 && error.status < 500) throw error;
      failure = error;
    }
    if (abort?.aborted) return;
    onState("waiting", failure);
    await pause(wait, abort);
  }
}

async function readEvents(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    // CR LF is allowed too; a CR that ends a chunk waits for its LF.
    const text = (rest + value).replaceAll("\r\n", "\n");
    const blocks = text.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) onEvent(event);
    }
  }
}

/** One block of an event stream, or null where it is a comment alone. */
export function parseEvent(block) {
  let event = "message";
  let id = null;
  let data = null;
  for (const line of block.split("\n")) {
    if (line === "" || line[0] === ":") continue;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (field === "data") data = data === null ? value : `${data}\n${value}`;
    else if (field === "event") event = value;
    else if (field === "id") id = value;
  }
  return data === null ? null : { event, data, id };
}
