// Why telemetry was lost, and what to do about it: one entry for each reason of the collector's
// books. What is meant to happen (sampling, filters) is no loss, and says so.

import { cut } from "./format.js";

const MEANT = true;

export const REASONS = {
  queue_full: ["The exporter's queue had no room",
    "The back end takes less than comes. Give the exporter a larger queue (sending_queue, or a queue on disk), sample more, or give the back end more room."],
  queue_full_oldest: ["The oldest had to go, for the queue was full",
    "The back end takes less than comes. Give the exporter a larger queue, or sample more."],
  retry_exhausted: ["Tried again until the time for that was over",
    "The back end was away for longer than retries last. Look at the exporter's last error; raise its max_elapsed_time, or put its queue on disk."],
  rejected: ["The back end took a part and named the rest as bad",
    "Its answer says why: look at the exporter's last error and at the back end's limits (age, size, attributes)."],
  too_large: ["More than one request may carry",
    "Make batches smaller (send_batch_max_size), or raise the limit on both sides."],
  malformed: ["Not the bytes it claims to be",
    "Whoever sends it is broken, or something in between: compare versions of its SDK and exporter."],
  unwanted: ["The other side does not take that signal",
    "Take this exporter out of that signal's pipeline, or switch the signal on in the back end."],
  internal_error: ["A mistake inside the collector",
    "Please report it with what the log says about it."],
  shutdown: ["Still there when the time to stop was over",
    "The back end was slow at the end. Put the queue on disk, so that the next start sends it."],
  no_exporter: ["Nobody wanted this signal",
    "No pipeline takes it: add one in [collector], name an [export] target, or switch the signal off."],
  ring_full: ["A worker found no room for its records",
    "The collector did not keep up for a moment. Raise [export] ring; look whether the machine has cores to spare."],
  collector_died: ["A collector that was killed had it in memory alone",
    "Find out who killed it (memory?); put the exporters' queues on disk, then nothing is lost."],
  memory_limit: ["Refused, to stay below memory_limiter's limit",
    "Raise the limit, or lessen what comes: sampling, filters, faster back ends."],
  corrupt: ["A file of the queue on disk could not be read",
    "Look at the disk: it was full or failed, or somebody else wrote there."],
  stream_closed: ["What reads stdout is gone",
    "Nobody takes what the console exporter writes: look at what stdout leads to."],
  sampled: ["Left out by sampling", "As it was told to. Raise the share if too little is left.", MEANT],
  filtered: ["Left out by a filter", "As it was told to.", MEANT],
  other: ["Other reasons", "There were more reasons than are counted apart: the log names them."],
};

const REFUSED = (code) => [`The back end refused it for good (${code})`,
  code === "http 401" || code === "http 403" || /unauthenticated|permission/.test(code)
    ? "Its credentials are wrong or have expired: look at the exporter's headers and auth."
    : code === "http 404"
      ? "The path is wrong: look at the exporter's endpoint."
      : "What was sent is not what it takes: look at the exporter's last error."];

/** {words, remedy, meant} for a reason of the books, whatever it is. */
export function why(reason) {
  const plain = String(reason).replace(/^permanent_/, "");
  const known = Object.hasOwn(REASONS, reason) ? REASONS[reason]
    : Object.hasOwn(REASONS, plain) ? REASONS[plain]
      : plain !== reason ? REFUSED(cut(plain.replaceAll("_", " "), 60))
        : [cut(plain.replaceAll("_", " "), 120), "Look at the log, which says more about it."];
  return { words: known[0], remedy: known[1], meant: known[2] === MEANT };
}
