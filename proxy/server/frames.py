"""What passes between a worker and the hub: kinds of frames (proxy/frames.py).

The order of frames is the order of events: a COLLECTED follows everything counted before the
question. Records do not pass here, they are in the ring (proxy/ring.py).

up    READY      -                 the snapshot is in force and the listeners accept
      METRICS    pickled telemetry.metrics.Report
      COLLECTED  -                 items = the number that came with COLLECT
      DRAINING   -                 no longer accepting; the hub may close the listening sockets
      DRAINED    -                 last frame of a worker that stops
down  SNAPSHOT   pickled config.Config
      HEALTH     pickled dict[tuple[upstream, server URL], bool]
      DRAIN      -
      COLLECT    -                 tell the reader of the ring, answer with METRICS, then COLLECTED

Both sides run the same code of the same release as the same user, so pickle crosses no trust
boundary here.
"""

from __future__ import annotations

from proxy.frames import Frames as Frames
from proxy.frames import encode as encode

READY, METRICS, COLLECTED, DRAINING, DRAINED = 1, 4, 5, 6, 7
SNAPSHOT, HEALTH, DRAIN, COLLECT = range(16, 20)
