"""The chunked transfer coding: read by the kernel (`proxy/kernel/chunks.py`)."""

from __future__ import annotations

from proxy.kernel.chunks import ChunkedDecoder as ChunkedDecoder
from proxy.kernel.chunks import ChunkedError as ChunkedError
