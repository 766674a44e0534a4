"""Which transport speaks to an endpoint: the one table of protocols."""

from __future__ import annotations

from proxy.otlp.endpoint import Endpoint
from proxy.otlp.grpc import GrpcTransport
from proxy.otlp.http import HttpTransport
from proxy.otlp.transport import Options, Transport


def connect(endpoint: Endpoint, options: Options) -> Transport:
    """A transport for the endpoint, not started yet."""
    if endpoint.protocol == "grpc":
        return GrpcTransport(endpoint, options)
    return HttpTransport(endpoint, options)
