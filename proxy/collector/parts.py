"""Tables that several components have: TLS, retrying, queues, and the names of problems."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import field

from proxy.config.disk import file_in_the_way
from proxy.config.section import Positive, Section
from proxy.config.syntax import is_field_value, is_token, parse_address
from proxy.config.units import Seconds, Size

# What `Settings.problems()` yields: (key below the component's table, message, remedy).
Problems = Iterator[tuple[tuple[str | int, ...], str, str]]


class TlsServer(Section, frozen=True):
    """TLS of something that listens; `client_ca` demands a certificate of clients (mTLS)."""

    cert: str  # PEM file, the chain
    key: str  # PEM file
    client_ca: str = ""  # PEM file; "" = clients need no certificate


class TlsClient(Section, frozen=True):
    """TLS towards a back end; names as in [export] tls."""

    ca: str = ""  # PEM file; "" = the system's
    cert: str = ""  # PEM file of the client certificate; comes with `key`
    key: str = ""  # PEM file of its key
    insecure_skip_verify: bool = False  # take any certificate; for tests only


class Auth(Section, frozen=True):
    """Who may send: a bearer token or a user with a password; empty = everybody."""

    bearer: list[str] = field(default_factory=list)  # tokens, any of which will do
    basic: dict[str, str] = field(default_factory=dict)  # user -> password


class Retry(Section, frozen=True):
    """Trying again (retry_on_failure of the OpenTelemetry Collector)."""

    enabled: bool = True  # false: a batch that fails is dropped
    initial_interval: Seconds = Seconds(1)  # first pause
    max_interval: Seconds = Seconds(30)  # longest pause
    # 0 = for as long as the queue holds it; if left out "5m", and 0 for a queue with a `storage`
    max_elapsed_time: Seconds | None = None


class Queue(Section, frozen=True):
    """What waits for one exporter (sending_queue of the OpenTelemetry Collector)."""

    queue_size: Size = Size(64 * 1024 * 1024)  # bytes in memory; 0 = no limit
    num_consumers: Positive = 4  # requests under way
    storage: str = ""  # directory of a queue on disk; in memory then only what it cannot take
    storage_size: Size = Size(1024 * 1024 * 1024)  # bytes of its files; 0 = no limit
    drop: Literal["newest", "oldest"] = "newest"  # when the files have reached that
    fsync: Literal["always", "interval", "never"] = "interval"  # matters if the machine fails
    fsync_interval: Seconds = Seconds(1)  # how often, if `fsync` says so


def check_queue(key: str, queue: Queue) -> Problems:
    if queue.drop == "oldest" and not queue.storage:
        yield (key, "drop"), "a queue in memory drops the newest", "give it a `storage`"
    if re.fullmatch(r"file_storage(/.*)?", queue.storage):  # an extension of the Collector
        remedy = 'write storage = "/var/lib/spangate/queue"'
        yield (key, "storage"), "this is a directory here, not an extension", remedy
    if "\0" in queue.storage:
        yield (key, "storage"), "a path cannot have a NUL in it", ""
    elif file := file_in_the_way(queue.storage):
        yield (key, "storage"), f"{file} is a file", "name a folder, or one to be made"


def check_address(key: str, text: str) -> Problems:
    try:
        parse_address(text)
    except ValueError as error:
        yield (key,), str(error), ""


def check_headers(key: str, headers: dict[str, str]) -> Problems:
    for name, value in headers.items():
        if not is_token(name):
            yield (key, name), f"{name!r} is not a header name", "letters, digits and -"
        if not is_field_value(value):
            yield (key, name), "this value cannot be sent in a header", "no control characters"


def check_tls(key: str, tls: TlsClient) -> Problems:
    if bool(tls.cert) != bool(tls.key):
        yield (key,), "`cert` and `key` come together", "give both or neither"
