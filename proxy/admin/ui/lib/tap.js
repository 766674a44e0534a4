// Requests as they come: what is kept of the stream, and which of it the filters let through.
// Nothing is drawn here; the page is told of many at once, before a frame of the screen.
import { useEffect, useRef, useState } from "./ui.js";
import { stream } from "./api.js";

export const MOST = 2000; // requests that are kept
const REST = 80; // ms between two drawings: nobody reads faster

export const FILTERS = ["route", "status", "min_ms", "path", "method", "error"];

/** The address of the stream for what the filters say. */
export function tapUrl(params) {
  const query = new URLSearchParams();
  for (const name of FILTERS) if (params[name]) query.set(name, params[name]);
  const text = query.toString();
  return `/api/tap${text ? `?${text}` : ""}`;
}

/** Whether a request passes, as the gateway decides it: so that what is kept narrows at once. */
export function passes(params) {
  const statuses = list(params.status);
  const methods = list(params.method).map((name) => name.toUpperCase());
  const least = Number.parseFloat(params.min_ms) || 0;
  const glob = params.path ? globbed(params.path) : null;
  return (request) =>
    (!params.route || request.route === params.route) &&
    (!statuses.length || statuses.some((status) => isStatus(request.status, status))) &&
    (!methods.length || methods.includes(request.method)) &&
    request.duration_ms >= least &&
    (!glob || glob.test(request.path)) &&
    (params.error !== "true" || request.error !== "");
}

const list = (text) => (text ?? "").split(",").map((part) => part.trim()).filter(Boolean);

const isStatus = (status, wanted) =>
  (/^\dxx$/i.test(wanted) ? Math.floor(status / 100) === Number(wanted[0]) : String(status) === wanted);

const globbed = (glob) => new RegExp(
  `^${glob.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`, "s");

/**
 * {rows, missed, waiting, state, error, clear}: rows newest first, each with a `key`. While
 * `paused` the rows stay as they are, and `waiting` says how many came.
 */
export function useTap(params, paused) {
  const path = tapUrl(params);
  const kept = useRef({ rows: [], fresh: [], missed: 0, number: 0, frame: 0, timer: 0, drawn: 0, paused });
  const [shown, show] = useState({ rows: [], missed: 0, waiting: 0 });
  const [link, setLink] = useState({ state: "waiting", error: null });
  kept.current.paused = paused;

  const draw = () => {
    const all = kept.current;
    all.frame = all.timer = 0;
    all.drawn = performance.now();
    if (!all.paused && all.fresh.length) {
      all.rows = [...all.fresh.reverse(), ...all.rows].slice(0, MOST);
      all.fresh = [];
    }
    show({ rows: all.rows, missed: all.missed, waiting: all.fresh.length });
  };
  const soon = () => {
    const all = kept.current;
    if (all.frame || all.timer) return;
    const wait = all.drawn + REST - performance.now();
    const ask = () => { all.frame = requestAnimationFrame(draw); };
    if (wait > 0) all.timer = setTimeout(ask, wait);
    else ask();
  };

  useEffect(() => {
    const all = kept.current;
    const through = passes(params);
    const abort = new AbortController();
    all.rows = all.rows.filter(through);
    all.fresh = all.fresh.filter(through);
    soon();
    const onEvent = ({ event, data }) => {
      if (event === "dropped") all.missed += JSON.parse(data).count ?? 0;
      else if (event === "request") add(all, JSON.parse(data));
      soon();
    };
    const onState = (state, error) => setLink({ state, error });
    stream(path, onEvent, { signal: abort.signal, onState })
      .catch((error) => setLink({ state: "refused", error }));
    return () => {
      abort.abort();
      cancelAnimationFrame(all.frame);
      clearTimeout(all.timer);
      all.frame = all.timer = 0;
    };
  }, [path]);
  useEffect(soon, [paused]);

  const clear = () => {
    Object.assign(kept.current, { rows: [], fresh: [], missed: 0 });
    soon();
  };
  return { ...shown, ...link, clear };
}

function add(all, request) {
  request.key = all.number += 1;
  all.fresh.push(request);
  // A tab that is not looked at gets no frames: what will never be shown is let go.
  if (all.fresh.length > 2 * MOST) all.fresh.splice(0, all.fresh.length - MOST);
}
