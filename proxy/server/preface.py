"""What a server is told about the client before anything else: the PROXY header of a connection.

Such a connection tells of one client, so it serves one exchange and is never lent again. Said is
the client that is connected to this gateway, or that a PROXY header of a trusted peer named.
"""

from __future__ import annotations

from typing import Any

from proxy.http.proxy_header import Place, encode
from proxy.server.peer import Peer


def preface(version: str, story: Any) -> bytes:
    """The header in that version ("v1", "v2") for a connection that `story` asks for."""
    client = story.client
    peer: Peer = client.peer
    if not peer.address:
        return encode(version, None, None)  # a Unix socket: it has no address that others know
    source = (peer.address.partition("%")[0], peer.port)
    return encode(version, source, peer.local or _local(client))


def _local(client: Any) -> Place | None:
    """What the client has connected to."""
    transport = getattr(client, "transport", None)
    name = transport.get_extra_info("sockname") if transport is not None else None
    return (name[0].partition("%")[0], name[1]) if isinstance(name, tuple) else None
