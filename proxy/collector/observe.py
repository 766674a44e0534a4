"""What the collector tells about itself: metrics that dashboards know, and the view of /pipelines.

Names are those of the OpenTelemetry Collector's own metrics, so that its dashboards and alerts
work; Prometheus adds `_total` to counters. Everything is read from flows and books, and nothing is
counted twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from proxy.collector.books import Ledger
from proxy.collector.condition import Trouble
from proxy.collector.counters import Flow
from proxy.collector.fanout import NOBODY
from proxy.collector.graph import Chain, Graph, Node
from proxy.collector.rates import Rates
from proxy.collector.stage import Queueing
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Series

NOUNS = {
    "traces": "spans",
    "metrics": "metric_points",
    "logs": "log_records",
    "profiles": "profile_samples",
}
QUEUE_SIZE = Instrument(
    "otelcol_exporter_queue_size", Kind.GAUGE, "", "Bytes that wait or are being sent."
)
QUEUE_CAPACITY = Instrument(
    "otelcol_exporter_queue_capacity", Kind.GAUGE, "", "Bytes that may wait; 0 = no limit."
)
INCOMING = Instrument("otelcol_processor_incoming_items", Kind.COUNTER, "", "Items passed in.")
OUTGOING = Instrument("otelcol_processor_outgoing_items", Kind.COUNTER, "", "Items passed on.")


HEALTHY = Instrument(
    "spangate.export.healthy", Kind.GAUGE, "", "1 = the last that was sent of it was taken."
)
PAUSED = Instrument(
    "spangate.export.paused", Kind.GAUGE, "", "1 = the other side does not take that signal."
)
UNEXPECTED = Instrument(
    "spangate.collector.unexpected_errors", Kind.COUNTER, "{error}", "Mistakes in this program."
)


def _counter(kind: str, what: str, signal: str) -> Instrument:
    name = f"otelcol_{kind}_{what}_{NOUNS[signal]}"
    return _INSTRUMENTS.setdefault(name, Instrument(name, Kind.COUNTER, "", _TEXTS[kind, what]))


_INSTRUMENTS: dict[str, Instrument] = {}
_TEXTS = {
    ("receiver", "accepted"): "Items taken into a pipeline.",
    ("receiver", "refused"): "Items for which there was no room; their senders were told.",
    ("processor", "accepted"): "Items passed on.",
    ("processor", "refused"): "Items for which there was no room behind.",
    ("exporter", "sent"): "Items that the other side accepted.",
    ("exporter", "send_failed"): "Items given up or refused for good.",
    ("exporter", "enqueue_failed"): "Items for which the queue had no room.",
}


def series(graph: Graph) -> Iterator[Series]:
    """Everything for /metrics and OTLP."""
    meters, books = graph.world.meters, graph.world.books
    for (kind, id, pipeline, signal), flow in meters.flows.items():
        if kind == "receiver" or kind == "processor":
            where = (("pipeline", pipeline),) if pipeline else ()
            labels = ((kind, id), *where)
            yield Series(_counter(kind, "accepted", signal), labels, flow.accepted)
            yield Series(_counter(kind, "refused", signal), labels, flow.refused)
    for ledger in books:
        if ledger.exporter != NOBODY:
            yield from _exporter(ledger)
    for chain in graph.chains.values():
        yield from _items(chain)
    for node in (*graph.receivers(), *graph.stages()):
        if isinstance(node.stage, Queueing):
            labels = ((node.kind, node.id),)
            yield Series(QUEUE_SIZE, labels, node.stage.queue.size)
            yield Series(QUEUE_CAPACITY, labels, node.stage.queue.limit)
        if node.kind == "exporter":
            yield from _health(node)
        if node.condition.unexpected:
            yield Series(UNEXPECTED, ((node.kind, node.id),), node.condition.unexpected)
        yield from node.counters.gauges()
    yield from meters.series()


def view(graph: Graph, rates: Rates) -> dict[str, Any]:
    """Each pipeline with its stages, their state, last error and throughput: for /pipelines."""
    return {
        "pipelines": {name: _chain(graph, chain, rates) for name, chain in graph.chains.items()},
        "receivers": {node.id: _receiver(node, rates) for node in graph.receivers()},
        "connectors": {
            node.id: {**_receiver(node, rates), **_books(node)}
            for node in graph.nodes.values()
            if node.kind == "connector"
        },
        "exporters": {
            node.id: {**_state(node), **_backlog(node), **_books(node)}
            for node in graph.nodes.values()
            if node.kind == "exporter"
        },
        "balanced": graph.world.books.balanced(),
    }


def _health(node: Node) -> Iterator[Series]:
    for signal in node.shelf or ():
        trouble = node.condition.signals.get(signal)
        labels = (("exporter", node.id), ("signal", signal))
        yield Series(HEALTHY, labels, int(_is_healthy(node, signal)))
        yield Series(PAUSED, labels, int(trouble is not None and trouble.paused))


def _is_healthy(node: Node, signal: str) -> bool:
    trouble = node.condition.signals.get(signal)
    return not node.condition.own.troubled and not (trouble is not None and trouble.troubled)


def _exporter(ledger: Ledger) -> Iterator[Series]:
    labels = (("exporter", ledger.exporter),)
    signal = ledger.signal
    yield Series(_counter("exporter", "sent", signal), labels, ledger.exported)
    failed = ledger.failed - ledger.dropped.get("queue_full", 0)
    yield Series(_counter("exporter", "send_failed", signal), labels, max(0, failed))
    yield Series(_counter("exporter", "enqueue_failed", signal), labels, ledger.refused)


def _items(chain: Chain) -> Iterator[Series]:
    flows = [*_flows(chain.steps), chain.fanout.flow]
    for node, flow, after in zip(chain.steps, flows, flows[1:], strict=False):
        labels = (("processor", node.id), ("pipeline", chain.name), ("otel_signal", chain.signal))
        yield Series(INCOMING, labels, flow.accepted)
        yield Series(OUTGOING, labels, after.accepted)


def _flows(steps: Iterable[Node]) -> list[Flow]:
    return [node.step.flow for node in steps if node.step is not None]


def _chain(graph: Graph, chain: Chain, rates: Rates) -> dict[str, Any]:
    receivers = [
        node.id for node, ways in graph.wiring if chain.entry in ways.get(chain.signal, ())
    ]
    return {
        "signal": chain.signal,
        "receivers": receivers,
        "processors": [
            {
                "id": node.id,
                **_state(node),
                **_flow(node.step.flow if node.step else Flow(), rates),
                "held": node.stage.held(chain.signal),
            }
            for node in chain.steps
        ],
        "exporters": [node.id for node in chain.ends],
        **_flow(chain.entry.flow, rates),
        "dropped": dict(chain.account.dropped),
    }


def _receiver(node: Node, rates: Rates) -> dict[str, Any]:
    assert node.junction is not None
    flows = {signal: _flow(flow, rates) for signal, flow in node.junction.flows.items()}
    addresses = getattr(node.stage, "addresses", {})
    listening = {"addresses": dict(addresses)} if addresses else {}
    return {**_state(node), **listening, "signals": flows, "malformed": node.junction.malformed}


def _state(node: Node) -> dict[str, Any]:
    condition = node.condition
    healthy = {"state": condition.state, "healthy": not condition.troubled}
    return {**healthy, **_last_error(condition.own)}


def _last_error(trouble: Trouble | None) -> dict[str, Any]:
    if trouble is None or not trouble.error:
        return {}
    ago = max(0.0, time.time() - trouble.error_at) if trouble.error_at else 0.0
    return {"last_error": trouble.error, "last_error_seconds_ago": round(ago, 1)}


def _flow(flow: Flow, rates: Rates) -> dict[str, Any]:
    return {
        "accepted": flow.accepted,
        "refused": flow.refused,
        "items_per_second": rates.of(flow),
    }


def _condition(node: Node, signal: str) -> dict[str, Any]:
    """How it is with one signal of an exporter."""
    trouble = node.condition.signals.get(signal)
    return {
        "healthy": _is_healthy(node, signal),
        "paused": trouble is not None and trouble.paused,
        **_last_error(trouble),
    }


def _backlog(node: Node) -> dict[str, Any]:
    if not isinstance(node.stage, Queueing):
        return {}
    return {"queue": {"bytes": node.stage.queue.size, "capacity": node.stage.queue.limit}}


def _books(node: Node) -> dict[str, Any]:
    return {
        "signals": {
            signal: {
                "created": ledger.created,
                "exported": ledger.exported,
                "dropped": dict(ledger.dropped),
                "queued": ledger.queued,
                "refused": ledger.refused,
                **(_condition(node, signal) if node.kind == "exporter" else {}),
            }
            for signal, ledger in (node.shelf or {}).items()
        }
    }
