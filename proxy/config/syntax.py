"""The small grammars of configuration values: addresses, URLs, networks, header fields.

Paths and hosts of routes have theirs in `routing/pattern.py`. Each `parse_…` returns the parts or
raises ValueError with what is wrong and what to write; none knows where in a file the text stood.
"""

from __future__ import annotations

import ipaddress
import re

OTLP_SCHEMES = ("grpc", "grpcs", "http", "https", "http+json", "https+json")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*")
# RFC 1035 §2.3.4: labels of 1 to 63 bytes, 253 in all without the dot at the end
_LONG = r"[A-Za-z0-9_.-]{253}(?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])"
_NAME = r"(?=[A-Za-z0-9_])(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{0,62}[A-Za-z0-9_]\.?"
_HOST = rf"\[[0-9A-Fa-f:.]+\]|(?!{_LONG}){_NAME}"
_ADDRESS = re.compile(rf"({_HOST})?:(\d{{1,5}})")
_SERVER = re.compile(rf"http://({_HOST})(?::(\d{{1,5}}))?/?", re.IGNORECASE)
_OTLP = re.compile(rf"([a-z+]+)://([^@/\s]+@)?({_HOST})(?::(\d{{1,5}}))?(/[!-~]*)?", re.IGNORECASE)
_AUTHORITY = re.compile(rf"(?:{_HOST})(?::\d{{1,5}})?")


def is_token(text: str) -> bool:
    """Whether `text` can be a field name or a method."""
    return _TOKEN.fullmatch(text) is not None


def is_text(text: str) -> bool:
    """Whether it was UTF-8: environment and arguments may hold any bytes (PEP 383)."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def is_field_value(text: str) -> bool:
    """Whether `text` can be sent as a field value: no CR, LF or NUL, no blanks at its ends, and in
    Latin-1 (RFC 9110 §5.5)."""
    return _FIELD_VALUE.fullmatch(text) is not None and text == text.strip(" \t")


def is_authority(text: str) -> bool:
    """Whether `text` can be a Host field: host, perhaps with a port."""
    return _AUTHORITY.fullmatch(text) is not None


def parse_address(text: str) -> tuple[str, int]:
    """Where to listen: ":8080" -> ("", 8080), "[::1]:80" -> ("::1", 80); port 0 = any free one."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is not an address: write ":8080" or "127.0.0.1:8080"')
    host = (found[1] or "").strip("[]")
    return _checked_host(host, text), _port(found[2], text)


def parse_server(url: str) -> tuple[str, int]:
    """An upstream server's URL: "http://10.0.0.1:8000" -> ("10.0.0.1", 8000)."""
    found = _SERVER.fullmatch(url)
    if found is not None:
        host = _checked_host(found[1].strip("[]").lower(), url)
        port = _port(found[2] or "80", url)
        if port == 0:
            raise ValueError(f"{url!r}: nothing can be reached at port 0")
        return host, port
    scheme, separator, rest = url.partition("://")
    _check_labels(rest)
    if scheme.lower() == "https" and separator:
        raise ValueError("TLS to upstreams is not built yet: use an http:// server")
    if separator and scheme.lower() != "http":
        raise ValueError(f"{scheme}:// is not a way to reach an upstream: use http://")
    if "@" in rest:
        raise ValueError("a server URL carries no user or password: set an authorization header")
    if "/" in rest.rstrip("/") or "?" in rest:
        raise ValueError("a server URL has no path or query: use the route's `rewrite`")
    raise ValueError(f'{url!r} is not a server: write "http://10.0.0.1:8000"')


def parse_otlp(url: str) -> tuple[str, str, int, str]:
    """A collector's URL as (scheme, host, port, path); port 0 = not said."""
    found = _OTLP.fullmatch(url)
    if found is None:
        raise ValueError('this is not an OTLP URL: write "grpc://localhost:4317"')
    scheme, user, host, port, path = found.groups()
    scheme = scheme.lower()
    if scheme not in OTLP_SCHEMES:
        known = ", ".join(f"{s}://" for s in OTLP_SCHEMES)
        raise ValueError(f"{scheme}:// is not an OTLP transport: use one of {known}")
    if scheme.startswith("grpc") and (path or "").strip("/"):
        raise ValueError("a gRPC URL has no path")
    if scheme.startswith("grpc") and user:
        raise ValueError("a gRPC URL carries no user or password: use export.headers")
    number = _port(port, f"{scheme}://{host}:{port}") if port else 0
    return scheme, _checked_host(host.strip("[]"), host), number, path or ""


def parse_network(text: str) -> str:
    """A CIDR network or a single address, in canonical form."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        wide = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'{text!r} is not a network: write "10.0.0.0/8" or "::1"') from None
    raise ValueError(f'{text!r} has bits set beyond its mask: write "{wide}"')


def parse_regex(text: str) -> re.Pattern[str]:
    """A compiled regular expression."""
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None


def _checked_host(host: str, text: str) -> str:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{text!r}: {host!r} is not an IPv6 address") from None
    return host


def _check_labels(rest: str) -> None:
    """Say what is wrong with a host name that has no place in DNS."""
    name = re.split(r"[:/?]", rest, maxsplit=1)[0].removesuffix(".")
    if re.fullmatch(r"[A-Za-z0-9_.-]+", name) is None:
        return
    longest = max(map(len, name.split(".")))
    if ".." in name:
        raise ValueError(f"{name!r} is no host name: there is nothing between two of its dots")
    if longest > 63 or len(name) > 253:
        raise ValueError(
            "the host name is too long: 63 characters between two dots and 253 in all are the most"
        )


def _port(digits: str, text: str) -> int:
    if (port := int(digits)) > 65535:
        raise ValueError(f"{text!r}: a port is at most 65535")
    return port
