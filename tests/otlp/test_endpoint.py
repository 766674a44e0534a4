from __future__ import annotations

import pytest

from proxy.otlp.endpoint import parse


@pytest.mark.parametrize(
    ("text", "protocol", "tls", "traces"),
    [
        ("http://localhost:4318", "protobuf", False, "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "protobuf", False, "http://localhost:4318/v1/traces"),
        ("https://otel.example/a/b", "protobuf", True, "https://otel.example/a/b/v1/traces"),
        ("https://otel.example/a/b/", "protobuf", True, "https://otel.example/a/b/v1/traces"),
        ("http+json://h:1", "json", False, "http://h:1/v1/traces"),
        ("https+json://[::1]:4318/x", "json", True, "https://[::1]:4318/x/v1/traces"),
        ("http://me:secret@h:1", "protobuf", False, "http://me:secret@h:1/v1/traces"),
    ],
)
def test_http(text: str, protocol: str, tls: bool, traces: str) -> None:
    endpoint = parse(text)
    assert (endpoint.protocol, endpoint.tls, endpoint.url("traces")) == (protocol, tls, traces)


@pytest.mark.parametrize(
    ("text", "tls", "target"),
    [
        ("grpc://localhost:4317", False, "localhost:4317"),
        ("grpc://localhost", False, "localhost:4317"),
        ("grpcs://[::1]:443/", True, "[::1]:443"),
    ],
)
def test_grpc(text: str, tls: bool, target: str) -> None:
    endpoint = parse(text)
    assert (endpoint.protocol, endpoint.tls, endpoint.base) == ("grpc", tls, target)


def test_names_hide_credentials() -> None:
    assert parse("https://me:secret@h:1/p?token=x").name == "https://h:1/p"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("localhost:4317", "grpc://host:4317"),
        ("ftp://h", "grpc://host:4317"),
        ("grpc://", "names no host"),
        ("grpc://h:4317/path", "no path"),
        ("http://h:port", "not a URL"),
        ("http://h:99999", "not a URL"),
        ("", "grpc://host:4317"),
    ],
)
def test_errors_say_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)
