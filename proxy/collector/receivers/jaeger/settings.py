"""Settings of the Jaeger receiver."""

from __future__ import annotations

from msgspec import field

from proxy.collector.parts import Problems, check_address
from proxy.collector.receivers.keepalive import Keepalive
from proxy.config.section import Count, Section
from proxy.config.units import Share, Size

MIB = 1024 * 1024
_LISTENERS = ("grpc", "thrift_http", "thrift_compact", "thrift_binary")


class Strategy(Section, frozen=True):
    """How a service's new traces are sampled, and its operations where they differ."""

    probability: Share | None = None  # not given: that of remote_sampling
    traces_per_second: Count = 0  # instead of a probability
    operations: dict[str, Share] = field(default_factory=dict)  # span name -> probability


class RemoteSampling(Section, frozen=True):
    """What Jaeger's clients and samplers ask for; customarily on port 5778."""

    endpoint: str  # HTTP address; GET /sampling?service=name
    probability: Share = Share(0.001)  # for services without a strategy; Jaeger's own default
    services: dict[str, Strategy] = field(default_factory=dict)


class Settings(Section, frozen=True):
    """[collector.receivers.jaeger]; each protocol listens if it has an address."""

    grpc: str = ""  # customarily :14250
    thrift_http: str = ""  # :14268, POST /api/traces
    thrift_compact: str = ""  # UDP :6831
    thrift_binary: str = ""  # UDP :6832
    max_packet_size: Size = Size(65000)  # UDP; larger ones are dropped and counted
    socket_buffer_size: Size = Size(0)  # of the kernel for each UDP socket; 0 = its default
    max_request_size: Size = Size(4 * MIB)  # HTTP and gRPC, decompressed
    max_in_flight_size: Size = Size(64 * MIB)  # of all requests that are being read; 0 = no limit
    keepalive: Keepalive = field(default_factory=Keepalive)  # gRPC only
    remote_sampling: RemoteSampling | None = None

    def problems(self) -> Problems:
        if not any(getattr(self, key) for key in _LISTENERS) and self.remote_sampling is None:
            yield (), "nothing to listen on", 'write grpc = "127.0.0.1:14250"'
        for key in _LISTENERS:
            if address := getattr(self, key):
                yield from check_address(key, address)
        for key in ("max_packet_size", "max_request_size"):
            if not getattr(self, key):
                yield (key,), "it cannot be unlimited", ""
        if self.remote_sampling is not None:
            yield from _sampling(self.remote_sampling)


def _sampling(sampling: RemoteSampling) -> Problems:
    for (key, *rest), message, remedy in check_address("endpoint", sampling.endpoint):
        yield ("remote_sampling", key, *rest), message, remedy
    for name, strategy in sampling.services.items():
        if strategy.traces_per_second and (strategy.operations or strategy.probability is not None):
            yield (
                ("remote_sampling", "services", name),
                "a rate excludes probabilities: clients can follow only one of them",
                "leave `traces_per_second` out",
            )
