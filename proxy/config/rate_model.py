"""The tables about rate limits, as `model.py` has the others."""

from __future__ import annotations

from typing import Literal

from proxy.config.section import Positive, Section


class RateLimit(Section, frozen=True):
    """How many requests are let in; the others get 429."""

    limit: str  # "100/s"; also /m, /h, /d
    burst: Positive | None = None  # how many may come at once; None = as many as limit says
    # "header:NAME", "cookie:NAME", "query:NAME", "path:NAME", "client"; "" = the route as a whole
    key: str = ""
    scope: Literal["worker", "host", "shared"] = "host"  # who counts together; shared: by [redis]
    headers: bool = True  # RateLimit and RateLimit-Policy, also on answers to what was let in


class Redis(Section, frozen=True):
    """Where gateways count together what `rate` with scope = "shared" limits; Valkey too."""

    url: str = ""  # "redis://user:password@host:6379/0" or "unix:///path"
    when_down: Literal["local", "open", "closed"] = "local"  # also when it takes more than 5 ms
