"""What a request finds of an upstream; `state.py` keeps it up to date."""

from __future__ import annotations

from proxy.upstream.balance import Balancer, Feedback
from proxy.upstream.retry import Budget


class Live:
    """One upstream as it is now."""

    __slots__ = ("balancer", "budget", "feedback", "name")

    def __init__(self, name: str, balancer: Balancer) -> None:
        self.name = name
        self.balancer = balancer
        self.feedback: Feedback | None = None  # the balancer, if it learns from attempts
        self.budget = Budget()
