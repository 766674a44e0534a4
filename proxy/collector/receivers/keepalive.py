"""Keepalive of gRPC servers: the settings of the OpenTelemetry Collector's configgrpc, and what
they are called in gRPC.

What is not set has gRPC's own default, but for the idle time, which guards descriptors.
"""

from __future__ import annotations

from msgspec import field

from proxy.config.section import Section
from proxy.config.units import Seconds


class ServerParameters(Section, frozen=True):
    """0 = as gRPC does it by itself."""

    max_connection_idle: Seconds = Seconds(300)  # without a request, then it is closed; 0 = never
    max_connection_age: Seconds = Seconds(0)  # then clients connect anew, spread by a tenth
    max_connection_age_grace: Seconds = Seconds(0)  # for what is under way then; 0 = any time
    time: Seconds = Seconds(0)  # of silence, after which the server asks whether a client lives
    timeout: Seconds = Seconds(0)  # for its answer


class EnforcementPolicy(Section, frozen=True):
    """Clients that ask more often than this are disconnected."""

    min_time: Seconds = Seconds(0)  # between two questions; gRPC's own: 5 min
    permit_without_stream: bool = False  # also while no request is under way; so too with a `time`


class Keepalive(Section, frozen=True):
    """keepalive of a gRPC server."""

    server_parameters: ServerParameters = field(default_factory=ServerParameters)
    enforcement_policy: EnforcementPolicy = field(default_factory=EnforcementPolicy)

    def options(self) -> tuple[tuple[str, int], ...]:
        """Channel arguments."""
        server, policy = self.server_parameters, self.enforcement_policy
        made = [
            ("grpc.max_connection_idle_ms", server.max_connection_idle),
            ("grpc.max_connection_age_ms", server.max_connection_age),
            ("grpc.max_connection_age_grace_ms", server.max_connection_age_grace),
            ("grpc.keepalive_time_ms", server.time),
            ("grpc.keepalive_timeout_ms", server.timeout),
            ("grpc.http2.ping_timeout_ms", server.timeout),  # the longer of both counts
            ("grpc.http2.min_ping_interval_without_data_ms", policy.min_time),
        ]
        given = tuple((name, max(1, int(value * 1000))) for name, value in made if value)
        # gRPC has one word for both: we ask, and they may, while no request is under way.
        if policy.permit_without_stream or server.time:
            given += (("grpc.keepalive_permit_without_calls", 1),)
        return given
