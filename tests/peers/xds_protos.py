"""Makes proxy/sources/xds/protos.bin of the published protos: `python -m tests.peers.xds_protos`.

The package xds-protos puts folders at the top of site-packages that others have too, and overwrites
files of opentelemetry-proto and googleapis-common-protos there. So it goes to a folder of its own,
and is put on the path of those alone who ask here: this script, and the strict server of the tests.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "xds-protos"  # pip install --no-deps --target, see .ci/run
MADE = ROOT / "proxy" / "sources" / "xds" / "protos.bin"

LB = "envoy.extensions.load_balancing_policies"
FILES = (
    "envoy.service.discovery.v3.discovery",
    "envoy.config.listener.v3.listener",
    "envoy.config.route.v3.route",
    "envoy.config.cluster.v3.cluster",
    "envoy.config.endpoint.v3.endpoint",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager",
    "envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy",
    "envoy.extensions.filters.http.router.v3.router",
    "envoy.extensions.transport_sockets.tls.v3.tls",
    "envoy.extensions.transport_sockets.tls.v3.secret",
    "envoy.extensions.upstreams.http.v3.http_protocol_options",
    f"{LB}.round_robin.v3.round_robin",
    f"{LB}.least_request.v3.least_request",
    f"{LB}.random.v3.random",
    f"{LB}.ring_hash.v3.ring_hash",
    f"{LB}.maglev.v3.maglev",
    f"{LB}.wrr_locality.v3.wrr_locality",
)


def are_here() -> bool:
    return (FOLDER / "envoy").is_dir()


def use() -> None:
    """Put the published protos on the path of this process, behind all that is there; packages
    that are there already, such as the wheel of Envoy's program, get a further folder."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    for name in ("google", "envoy"):
        path = importlib.import_module(name).__path__
        more = str(FOLDER / name)
        if more not in path:
            path.append(more)


def described() -> bytes:
    """The descriptors of FILES and of all that they need, each after what it needs."""
    use()
    from google.protobuf import descriptor_pb2

    found: dict[str, Any] = {}
    for name in FILES:
        _add(importlib.import_module(f"{name}_pb2").DESCRIPTOR, found)
    files = descriptor_pb2.FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(files.file.add())
    return files.SerializeToString(deterministic=True)


def _add(file: Any, found: dict[str, Any]) -> None:
    if file.name not in found:
        for needed in file.dependencies:
            _add(needed, found)
        found[file.name] = file


if __name__ == "__main__":
    MADE.write_bytes(zlib.compress(described(), 9))
    print(MADE.name, MADE.stat().st_size)
