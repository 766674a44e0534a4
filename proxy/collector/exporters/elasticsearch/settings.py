"""Settings of the Elasticsearch exporter; names of the OpenTelemetry Collector's."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from msgspec import field

from proxy.collector.parts import (
    Problems,
    Queue,
    Retry,
    TlsClient,
    check_headers,
    check_queue,
    check_tls,
)
from proxy.config.section import Positive, Section
from proxy.config.units import Seconds, Size

MIB = 1024 * 1024


class Flush(Section, frozen=True):
    """When what was gathered goes; one bulk request is never larger than that."""

    bytes: Size = Size(5_000_000)  # of one request
    count: Positive = 5000  # items, and documents of one request
    interval: Seconds = Seconds(1)  # 0 = at once


class Mapping(Section, frozen=True):
    """What documents look like."""

    mode: Literal["otel", "ecs", "jaeger"] = "otel"  # how a document looks


class Settings(Section, frozen=True):
    """[collector.exporters.elasticsearch]"""

    endpoint: str = ""  # "https://elastic:9200"
    endpoints: list[str] = field(default_factory=list)  # several nodes, by turns
    api_key: str = ""  # as Elasticsearch gave it, encoded
    user: str = ""  # for basic authentication
    password: str = ""  # its password, never shown
    mapping: Mapping = field(default_factory=Mapping)
    dataset: str = "generic"  # of the data streams, where no attribute says another
    namespace: str = "default"  # the last part of a data stream's name
    traces_index: str = ""  # an index or data stream for all traces, whatever attributes say
    metrics_index: str = ""  # the same for metrics
    logs_index: str = ""  # the same for logs
    index_prefix: str = ""  # jaeger: "prod" makes prod-jaeger-span-2026-11-22
    pipeline: str = ""  # an ingest pipeline
    headers: dict[str, str] = field(default_factory=dict)
    compression: Literal["none", "gzip"] = "gzip"
    tls: TlsClient = field(default_factory=TlsClient)
    timeout: Seconds = Seconds(90)  # for one request
    flush: Flush = field(default_factory=Flush)
    retry_on_failure: Retry = field(default_factory=Retry)
    sending_queue: Queue = field(default_factory=Queue)

    @property
    def nodes(self) -> list[str]:
        """Base URLs."""
        return [self.endpoint] if self.endpoint else self.endpoints

    def problems(self) -> Problems:
        if bool(self.endpoint) == bool(self.endpoints):
            message = "`endpoint` or `endpoints` says where Elasticsearch is"
            yield ("endpoint",), message, 'write "https://localhost:9200"'
        for url in self.nodes:
            if not _is_base(url):
                yield ("endpoint",), f"{url!r} is not a base URL", 'write "https://localhost:9200"'
        if bool(self.user) != bool(self.password):
            yield ("user",), "`user` and `password` come together", "give both or neither"
        if self.api_key and self.user:
            yield ("api_key",), "`api_key` and `user` exclude each other", "leave one out"
        for key in ("traces_index", "metrics_index", "logs_index", "index_prefix"):
            if name := getattr(self, key):
                yield from _check_index(key, name)
        if not 100_000 <= self.flush.bytes <= 64 * MIB:
            message = "Elasticsearch takes 100 MB, and works best with less than 15"
            yield ("flush", "bytes"), message, 'from "100KB" to "64MiB", such as "5MB"'
        yield from check_headers("headers", self.headers)
        yield from check_queue("sending_queue", self.sending_queue)
        yield from check_tls("tls", self.tls)


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain


def _check_index(key: str, name: str) -> Problems:
    """Elasticsearch reference, "Create index": restrictions of names."""
    if name != name.lower() or name[0] in "-_+" or any(c in '\\/*?"<>| ,#:' for c in name):
        yield (key,), f"{name!r} is not an index name", "lower case, without spaces and / * ? : #"
