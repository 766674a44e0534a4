"""What of a collector's configuration one process alone can have: addresses, queues on disk."""

from __future__ import annotations

import msgspec

from proxy.config.model import Config

GATEWAY = "gateway"  # what the workers record, for which nobody listens


def without_receivers(config: Config) -> Config | None:
    """None if it has none. A pipeline that nothing else comes into goes with them."""
    collector = config.collector
    if collector is None or not set(collector.receivers) - {GATEWAY}:
        return None
    gone = set(collector.receivers) - {GATEWAY}
    pipelines = {}
    for name, pipeline in collector.pipelines.items():
        left = [receiver for receiver in pipeline.receivers if receiver not in gone]
        if left:
            pipelines[name] = msgspec.structs.replace(pipeline, receivers=left)
    receivers = {id: one for id, one in collector.receivers.items() if id not in gone}
    changed = msgspec.structs.replace(collector, receivers=receivers, pipelines=pipelines)
    return msgspec.structs.replace(config, collector=changed)


def on_disk(config: Config) -> bool:
    """Whether some queue is."""
    exporters = config.collector.exporters.values() if config.collector is not None else ()
    queues = [getattr(settings, "sending_queue", None) for settings in exporters]
    return bool(config.export.storage or any(getattr(queue, "storage", "") for queue in queues))
