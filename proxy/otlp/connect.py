"""Which transport speaks to an endpoint: the one table of protocols."""

from __future__ import annotations

from proxy.otlp.endpoint import Endpoint
from proxy.otlp.transport import Options, Transport


def connect(endpoint: Endpoint, options: Options) -> Transport:
    """A transport for the endpoint, not started yet; its library is imported now."""
    if endpoint.protocol == "grpc":
        from proxy.otlp.grpc import GrpcTransport

        return GrpcTransport(endpoint, options)
    from proxy.otlp.http import HttpTransport

    return HttpTransport(endpoint, options)
