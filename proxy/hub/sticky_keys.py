"""What sticky cookies are signed with where the file does not say.

Made once in the life of a hub, and sent to its workers with each configuration: so all of them
agree, whatever is reloaded and whichever of them dies, and clients are let go when the gateway is
started anew. Nobody is shown it: it is only in what workers get.
"""

from __future__ import annotations

import hmac
import os

import msgspec

from proxy.config.model import Config, Sticky, Upstream

_SECRET = bytearray(os.urandom(32))


def secret() -> bytes:
    """For the hub that follows this one."""
    return bytes(_SECRET)


def follow(secret: bytes) -> None:
    """Sign as the hub before this one did."""
    if secret:
        _SECRET[:] = secret


def with_keys(config: Config, secret: bytes | bytearray = _SECRET) -> Config:
    """`config` with a key of its own for each upstream that wants one and has none."""
    wanting = {
        name: _with_key(upstream, upstream.sticky, hmac.digest(secret, name.encode(), "sha256"))
        for name, upstream in config.upstream.items()
        if upstream.sticky is not None and not upstream.sticky.key
    }
    if not wanting:
        return config
    return msgspec.structs.replace(config, upstream={**config.upstream, **wanting})


def _with_key(upstream: Upstream, sticky: Sticky, key: bytes) -> Upstream:
    return msgspec.structs.replace(upstream, sticky=msgspec.structs.replace(sticky, key=key.hex()))
