"""The tables of message queues: where they are, what is published there, what is consumed."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.config.section import Count, Name, Positive, Section
from proxy.config.units import Seconds, Size


class Kafka(Section, frozen=True):
    """A cluster of Kafka, or of what speaks its protocol."""

    brokers: list[str] = field(default_factory=list)  # "127.0.0.1:9092"
    acks: Literal["all", "leader"] = "all"  # what "written" means
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    # formats of the trace context in a message's headers
    inject: list[Literal["w3c", "b3", "b3multi"]] = field(default_factory=lambda: ["w3c"])
    timeout: Seconds = Seconds(10)  # until the broker has acknowledged
    message: Size = Size(1024 * 1024)  # bytes; larger ones are refused with 413
    linger: Seconds = Seconds(0)  # messages wait so long for others to be sent with
    tls: bool = False  # to the brokers
    ca: str = ""  # path of the authorities that count; "" = the system's
    user: str = ""  # SASL
    password: str = ""  # of `user`
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"  # of SASL


class RedisStreams(Section, frozen=True):
    """Streams of Redis."""

    server: str = ""  # "redis://127.0.0.1:6379/0"
    maxlen: Count = 0  # entries that a stream keeps, about; 0 = all
    # formats of the trace context in an entry's fields
    inject: list[Literal["w3c", "b3", "b3multi"]] = field(default_factory=lambda: ["w3c"])
    timeout: Seconds = Seconds(10)  # until Redis has answered
    message: Size = Size(1024 * 1024)  # bytes; larger ones are refused with 413


class Messaging(Section, frozen=True):
    """Message queues by name; the names are of all kinds together."""

    kafka: dict[Name, Kafka] = field(default_factory=dict)
    redis: dict[Name, RedisStreams] = field(default_factory=dict)


class Publish(Section, frozen=True):
    """A request becomes a message."""

    to: str = ""  # name of a queue of [messaging]
    topic: str = ""  # "{topic}": parameters of the path
    key: str = ""  # "header:x-key", "path:topic", "query:k"; "" = none
    # names of request headers that the message carries, besides Content-Type
    headers: list[str] = field(default_factory=list)
    batch: bool = False  # a JSON list of messages, or lines (application/x-ndjson)


class Consume(Section, frozen=True):
    """Messages become requests to an upstream."""

    name: str = ""  # for people; "" = made of the queue and the group
    source: str = field(default="", name="from")  # name of a queue of [messaging]
    topics: list[str] = field(default_factory=list)  # or streams
    group: str = ""  # of consumers, who share the messages
    to: str = ""  # name of an upstream
    path: str = "/"  # "/orders/{topic}"
    # names of message headers that the request carries, besides Content-Type
    headers: list[str] = field(default_factory=list)
    # "continue": the producer's trace goes on; "link": a new one, with a link to it
    trace: Literal["continue", "link"] = "continue"
    concurrency: Positive = 1  # requests under way at once; those of one key one after the other
    retry: Count = 2  # extra tries
    # before the first of them, doubled each time; None = 100 ms, and before dead letters longer
    # where the upstream cannot be reached
    backoff: Seconds | None = None
    dead_letter: str = ""  # "{topic}.dead"; "" = what fails is tried again for ever
    timeout: Seconds = Seconds(30)  # of one request
    start: Literal["earliest", "latest"] = "earliest"  # of a group without offsets
