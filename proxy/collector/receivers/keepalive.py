"""Keepalive of gRPC servers: the settings of the OpenTelemetry Collector's configgrpc.

What is not set has gRPC's own default, but for the idle time, which guards descriptors.
"""

from __future__ import annotations

from msgspec import field

from proxy.config.section import Section
from proxy.config.units import Seconds
from proxy.otlp.rpc import clocks
from proxy.otlp.rpc.clocks import SECOND


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

    def clocks(self) -> clocks.Keepalive:
        """The same for a server."""
        server, policy = self.server_parameters, self.enforcement_policy
        given = {
            "idle": server.max_connection_idle,
            "age": server.max_connection_age,
            "grace": server.max_connection_age_grace,
            "time": server.time,
            "timeout": server.timeout or None,
            "min_time": policy.min_time or None,
        }
        times = {name: int(value * SECOND) for name, value in given.items() if value is not None}
        # As in gRPC's core: we ask, and they may, while no request is under way.
        permit = policy.permit_without_stream or server.time > 0
        return clocks.Keepalive(**times, permit_without_stream=permit)
