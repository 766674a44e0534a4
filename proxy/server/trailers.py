"""What becomes of trailers: the policy, in this one place.

Both codecs read and write them. Between HTTP/1.1 peers they are dropped, which RFC 9110 §6.5.1
allows: few servers read them, and those that merge them into the header are how names that a
filter has removed come back. Where both ends speak a protocol whose trailers mean something
(gRPC's status), this is where they are let through.
"""

from __future__ import annotations

from proxy.http.head import Trailers
from proxy.server.sides import NO_TRAILERS


def passed_on(trailers: Trailers) -> Trailers:
    """Those of `trailers` that go to the other side."""
    return NO_TRAILERS
