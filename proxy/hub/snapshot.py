"""The configuration as workers get it: what they record is said, where it goes is not.

The collector's settings are left out, because a worker cannot import them and needs no secrets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from proxy.config.loaded import Loaded
from proxy.config.material import NONE, Material
from proxy.config.model import Config
from proxy.config.observe import Export
from proxy.config.wire import pack
from proxy.hub.sticky_keys import with_keys

_SIGNALS = ("traces", "metrics", "logs")
_GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Generation:
    """One configuration, numbered; each that is tried has a number of its own."""

    number: int
    loaded: Loaded
    at: float = 0.0  # Unix time at which it was read
    messages: list[bytes] = field(default_factory=list)  # payloads of its SNAPSHOT frames


def generation(number: int, loaded: Loaded, at: float) -> Generation:
    """Ready to be sent."""
    config = with_keys(loaded.config)
    return Generation(number, loaded, at, list(snapshot_of(config, loaded.material)))


def snapshot_of(config: Config, material: Material = NONE) -> Iterable[bytes]:
    """What SNAPSHOT frames carry."""
    signals = wanted(config)
    export = Export(otlp=["collector"] if signals else [], signals=signals)  # type: ignore[arg-type]
    return pack(msgspec.structs.replace(config, collector=None, export=export), material)


def wanted(config: Config) -> list[str]:
    """The signals of the gateway that some pipeline takes, of the short form or the long one."""
    export = config.export
    found: set[str] = {
        signal for signal in export.signals if export.otlp or getattr(export, signal)
    }
    if (export.console and "traces" in export.signals) or config.recent.size:
        found.add("traces")
    pipelines = config.collector.pipelines if config.collector is not None else {}
    for name, pipeline in pipelines.items():
        if _GATEWAY in pipeline.receivers:
            found.add(name.partition("/")[0])
    return [signal for signal in _SIGNALS if signal in found]
