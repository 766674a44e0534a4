"""What a new worker is told before it serves: everything that is in force."""

from __future__ import annotations

from proxy.hub.parts import Whole
from proxy.hub.worker import Worker
from proxy.server import frames


def greet(hub: Whole, worker: Worker) -> None:
    """In the order in which a worker needs it; the last frame brings it into force."""
    send = worker.link.send
    send(frames.SECRETS, hub.secrets)
    send(*hub.switch.told)
    send(*hub.viewers.told)
    if hub.keys:
        send(frames.KEYS, hub.keys)
    number = worker.answers.asked = hub.generation.number
    for message in hub.generation.messages:
        send(frames.SNAPSHOT, message, number)
    for payload in hub.roster.messages():
        send(frames.ENDPOINTS, payload)
    send(frames.APPLY, items=number)
