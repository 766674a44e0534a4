"""What passes between the process of queues and the hub: kinds of frames (proxy/frames.py).

up    METRICS    telemetry.report  numbers of at most 256 series
      COLLECTED  -                 items = the number that came with COLLECT
      DONE       -                 the SETUP before is in force
      QUIET      -                 nothing is consumed any more, and nothing is under way
down  SETUP      messaging.setup   what to go by
      COLLECT    -                 answer with METRICS, then COLLECTED
      PAUSE      seconds, msgpack  consume no more, and end what is under way within so long
      STOP       -                 end
"""

from __future__ import annotations

METRICS, COLLECTED, DONE, QUIET = 4, 5, 6, 7
SETUP, COLLECT, PAUSE, STOP = range(16, 20)
