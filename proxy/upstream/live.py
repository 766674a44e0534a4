"""What a request finds of an upstream; `state.py` keeps it up to date."""

from __future__ import annotations

from typing import Any

from proxy.upstream.balance import Balancer, Feedback
from proxy.upstream.bounds import Bounds
from proxy.upstream.retry import Budget


class Live:
    """One upstream as it is now."""

    __slots__ = ("balancer", "bounds", "budget", "chooser", "feedback", "name")

    def __init__(self, name: str, balancer: Balancer) -> None:
        self.name = name
        self.balancer = balancer
        self.feedback: Feedback | None = None  # the balancer, if it learns from attempts
        # What knows whom a request asks for itself (`server/choosing.py`); None = nobody.
        self.chooser: Any = None
        self.budget = Budget()
        self.bounds: Bounds | None = None  # since its `limits` were first heard of
