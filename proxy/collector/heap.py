"""What the C library keeps of memory that a collector frees: enough for the next batch.

By default glibc gives the end of its heap back whenever 128 KiB of it are free, and takes blocks
of that size from the kernel one by one. A collector fills and frees some megabytes with every
batch, and each of their pages was then made anew: half of its time in the kernel
(benchmarks.collector).
"""

from __future__ import annotations

import ctypes

KEPT = 16 * 1024 * 1024  # bytes at the end of the heap; four batches as `batch` makes them
OWN = 4 * 1024 * 1024  # blocks from so many bytes on come from the kernel, and go back at once
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def keep() -> None:
    """For this process; without effect where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, KEPT)
        mallopt(_MMAP_THRESHOLD, OWN)
