"""Message queues as listeners, upstreams and routes: how workers and the process of queues meet.

They talk HTTP over two Unix sockets in a folder of this gateway's own. What is published goes to
an upstream, whose server is that process; what is consumed comes in by a listener, where each
consumer has a route to its upstream under a host that nobody else can ask for there. So access,
limits, balancing and health are the same as for all requests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import sha256

import msgspec

from proxy.config.access_model import AuthUse
from proxy.config.messaging_model import Consume, Messaging
from proxy.config.messaging_names import DELIVERY, KNOWN, OWN
from proxy.config.model import Config, HeaderEdit, Headers, Listener, Route, Upstream, When
from proxy.config.observe import RouteTrace
from proxy.config.retry_model import Retry
from proxy.config.slo_model import Slo
from proxy.config.units import Seconds, Size

BATCH = 16  # times a message's size that a batch may have, where no `body_limit` is said
ANSWER = 5.0  # seconds that the process of queues has beyond its own timeout
_BASES = ("/tmp", "/dev/shm")
HOST = ".consume.invalid"  # RFC 6761 §6.4: no name of anybody


def queue_names(messaging: Messaging) -> list[str]:
    """Of all kinds."""
    return [*messaging.kafka, *messaging.redis]


def folder() -> str:
    """Where this process and its children meet; `hub/meeting.py` makes it."""
    base = base_of(os.environ, lambda path: os.access(path, os.W_OK | os.X_OK))
    return os.path.join(base, f"spangate-{os.getuid()}-{os.getpid()}")


def base_of(environ: Mapping[str, str], is_writable: Callable[[str], bool]) -> str:
    """What the environment names; else /tmp, or where that cannot be written to, as in a container
    whose root is read-only, the folder of shared memory, which engines mount for each of them."""
    runtime = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    named = runtime or environ.get("XDG_RUNTIME_DIR", "") or environ.get("TMPDIR", "")
    return named or next(filter(is_writable, _BASES), _BASES[0])


def publish_socket() -> str:
    """Where the process of queues takes what is published."""
    return f"unix:{folder()}/publish.sock"


def deliver_socket() -> str:
    """Where workers take what is consumed."""
    return f"unix:{folder()}/deliver.sock"


def host_of(name: str) -> str:
    """The host under which a consumer's route is found."""
    return sha256(name.encode()).hexdigest()[:32] + HOST


def expand_messaging(config: Config) -> Config:
    """The same with all that workers need for queues; as it is where there are none."""
    if not queue_names(config.messaging):
        return config
    routes = [_published(route, config.messaging) for route in config.route]
    upstreams = dict(config.upstream)
    used = {route.publish.to for route in config.route if route.publish is not None}
    for name in used:
        upstreams[OWN + name] = Upstream(servers={publish_socket(): 1})
    listeners = list(config.listen)
    if config.consume:
        listeners.append(
            Listener(address=deliver_socket(), trust=["unix"], name=DELIVERY, mode="0600")
        )
        routes += [_delivered(consume) for consume in config.consume]
    return msgspec.structs.replace(config, route=routes, upstream=upstreams, listen=listeners)


def _published(route: Route, messaging: Messaging) -> Route:
    said = route.publish
    if said is None:
        return route
    queue = messaging.kafka.get(said.to) or messaging.redis[said.to]
    most = queue.message * BATCH if said.batch else queue.message
    answer = Seconds(queue.timeout + ANSWER)
    when = route.when
    if not when.method:
        when = msgspec.structs.replace(when, method=["POST"])
    return msgspec.structs.replace(
        route,
        to={OWN + said.to: 1},
        when=when,
        body_limit=Size(most) if route.body_limit is None else route.body_limit,
        retry=Retry(times=0),
        first_byte_timeout=answer,
        idle_timeout=answer,
        upgrade=[],
    )


def _delivered(consume: Consume) -> Route:
    """Tries are the process of queues' own, and so is the decision on what is recorded. What is
    there for clients, such as [limits] body, is not for messages."""
    return Route(
        name=OWN + consume.name,
        host=[host_of(consume.name)],
        path="/*",
        when=When(listener=DELIVERY),
        to={consume.to: 1},
        headers=Headers(response=HeaderEdit(set={KNOWN: "1"})),
        host_header=consume.to,
        timeout=consume.timeout,
        first_byte_timeout=consume.timeout,
        idle_timeout=consume.timeout,
        stream_timeout=Seconds(0),
        body_limit=Size(0),
        retry=Retry(times=0),
        auth=AuthUse(),
        slo=Slo(),
        maintenance=False,
        upgrade=[],
        trace=RouteTrace(sampler="parent"),
    )
