"""What the makers of checks get besides what the file says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.config.material import Material


@dataclass(frozen=True, slots=True)
class Made:
    """Of one configuration in one worker."""

    material: Material
    secret: bytes  # 32 random bytes of this worker: what caches key their hashes with
    house: Any  # server.house.House; None where nothing can be asked (`explain`)
    targets: Any = None  # name of an upstream -> server.snapshot.Target, for checks that ask one
