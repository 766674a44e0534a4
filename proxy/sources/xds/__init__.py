"""xDS: listeners, routes, upstreams, endpoints and certificates of a control plane, by one stream.

A process of its own talks gRPC (`process.py`), since neither grpcio nor protobuf may be in the
hub; the hub's end is `source.py`. What messages mean is pure: `map_*.py` make tables of them,
`stream_*.py` are the two variants of the protocol, `state.py` knows when all is there that belongs
together, and `session.py` says what is to be sent and given next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.config.source_model import XdsSource
    from proxy.sources.source import About, Source


def make(settings: XdsSource, about: About) -> Source:
    """The source that `[source.xds]` asks for."""
    from proxy.sources.xds.source import make as made

    return made(settings, about)
