"""What passes between a worker and the hub: kinds of frames (proxy/frames.py).

The order of frames is the order of events: a COLLECTED follows everything counted before the
question. Records do not pass here, they are in the ring (proxy/ring.py).

up    READY      -                 a snapshot is in force and the listeners accept
      METRICS    telemetry.report  numbers of at most 256 series
      COLLECTED  -                 items = the number that came with COLLECT
      DRAINING   -                 no longer accepting; the hub may close the listening sockets
      DRAINED    -                 last frame of a worker that stops
      APPLIED    -                 items = generation that is in force now
      REFUSED    why, as UTF-8     items = generation; what was in force stays so
      PREPARED   -                 items = generation that APPLY would bring into force at once
      QUESTION   kind, NUL, more   items = the question's number; what only the hub can find out
down  SNAPSHOT   config.wire       items = generation; several frames, of which nothing follows yet
      ENDPOINTS  server.endpoints  health and weights, endpoints that came or went
      DRAIN      -
      COLLECT    -                 tell the reader of the ring, answer with METRICS, then COLLECTED
      APPLY      -                 items = generation, bring it into force
      FORGET     -                 items = generation, throw away what was prepared
      SECRETS    tls_tickets       what all workers seal sessions of TLS with
      MAINTAIN   b"1" or nothing   an operator has switched maintenance on, or off
      ANSWER     b"1" and more     items = the number that came with QUESTION; nothing = no answer
      KEYS       server.keysets    public keys of issuers: all that are known
      WATCH      b"1" or nothing   somebody watches: an access record of each request, or as before

Orders are carried out one after the other; see server/orders.py for those that do not wait.
"""

from __future__ import annotations

from proxy.frames import Frames as Frames
from proxy.frames import encode as encode

READY, METRICS, COLLECTED, DRAINING, DRAINED = 1, 4, 5, 6, 7
APPLIED, REFUSED, PREPARED, QUESTION = 8, 9, 10, 11
SNAPSHOT, ENDPOINTS, DRAIN, COLLECT, APPLY, FORGET, SECRETS, MAINTAIN, WATCH = range(16, 25)
ANSWER, KEYS = 27, 28
