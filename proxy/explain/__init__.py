"""What the gateway would do with one request, in words: for `spangate explain` alone.

The request is written as bytes and read by the gateway's own reader, admitted by its own rules,
routed by its own table and rewritten by its own rewrites, so that it cannot be another story; but
nothing is sent anywhere.
"""

from proxy.explain.typed import read_request, scheme_of
from proxy.explain.words import explain

__all__ = ["explain", "read_request", "scheme_of"]
