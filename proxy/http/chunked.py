"""The chunked transfer coding; the kernel reads and writes it (`proxy/kernel/chunks.py`)."""

from __future__ import annotations

from proxy.kernel.chunks import LAST_CHUNK as LAST_CHUNK
from proxy.kernel.chunks import ChunkedDecoder as ChunkedDecoder
from proxy.kernel.chunks import ChunkedError as ChunkedError
from proxy.kernel.chunks import chunk as chunk
