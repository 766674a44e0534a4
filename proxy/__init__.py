"""Spangate: a reverse proxy in which every request leaves a correct trace.

Thirteen nouns carry the design; the rest of the code is about what happens to them.

Head          request or response without its body                http/head.py
Route         what to do with the requests that match             config/model.py, routing/
Upstream      a named set of Endpoints and how to choose          upstream/
TraceContext  what a caller said about its trace                  tracing/context.py
Side          what a story asks of its client and upstream        server/sides.py
Story         the coroutine of one exchange, and its events       server/story.py
Exchange      the mutable facts of one request                    telemetry/facts.py
Attempt       the facts of one try against one Endpoint           telemetry/facts.py
Batch         signal, serialised OTLP bytes, item count           collector/batch.py
Stage         start, consume, stop: receiver, processor, exporter collector/stage.py
Snapshot      all of the configuration that a request reads       server/snapshot.py
Link          the socket between the hub and another process      server/link.py, hub/link.py
Ring          what a worker recorded, in shared memory            server/ring.py, collector/ring.py

What changes while requests run and outlives a Snapshot is state: upstream/state.py.

Three kinds of process: the hub owns configuration, sockets and admin port; workers move
requests; the collector receives, changes and exports telemetry. Where to start reading:
`server/serve.py` is the life of a request, `hub/hub.py` is the life of the process tree.
"""

from proxy.plain import WHY_PLAIN as WHY_PLAIN  # first of all: it decides what is imported

__version__ = "0.1.0"
