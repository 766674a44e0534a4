"""Trace, span and request ids as lower-case hex bytes, the form that headers carry.

Made by the kernel, from a source of randomness that the caller brings: any function that behaves as
`random.Random.getrandbits`.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.kernel.hexes import request_id as request_id
from proxy.kernel.hexes import span_id as span_id
from proxy.kernel.hexes import trace_id as trace_id

GetRandBits = Callable[[int], int]  # number of bits -> that many random bits
