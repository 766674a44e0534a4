"""Settings of the Zipkin receiver."""

from __future__ import annotations

from proxy.collector.parts import Problems, check_address
from proxy.config.section import Section
from proxy.config.units import Size

MIB = 1024 * 1024


class Settings(Section, frozen=True):
    """[collector.receivers.zipkin]"""

    endpoint: str = "127.0.0.1:9411"  # POST /api/v2/spans, JSON or protobuf
    max_request_size: Size = Size(10 * MIB)  # decompressed; Zipkin's own server takes 10 MB
    max_in_flight_size: Size = Size(64 * MIB)  # of all requests that are being read; 0 = no limit
    parse_string_tags: bool = False  # "42", "4.2" and "true" become numbers and booleans

    def problems(self) -> Problems:
        yield from check_address("endpoint", self.endpoint)
        if not self.max_request_size:
            yield ("max_request_size",), "a request cannot be unlimited", 'write "10MiB"'
