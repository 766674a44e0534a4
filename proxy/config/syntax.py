"""The small grammars of configuration values: addresses, URLs, networks, header fields.

Paths and hosts of routes have theirs in `routing/pattern.py`. Each `parse_…` returns the parts or
raises ValueError with what is wrong and what to write; none knows where in a file the text stood.
"""

from __future__ import annotations

import ipaddress
import re
from sys import intern
from typing import NamedTuple

OTLP_SCHEMES = ("grpc", "grpcs", "http", "https", "http+json", "https+json")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*")
# RFC 1035 §2.3.4: labels of 1 to 63 bytes, 253 in all without the dot at the end
_LONG = r"[A-Za-z0-9_.-]{253}(?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])"
_NAME = r"(?=[A-Za-z0-9_])(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{0,62}[A-Za-z0-9_]\.?"
_HOST = rf"\[[0-9A-Fa-f:.]+\]|(?!{_LONG}){_NAME}"
_PORT = r":([0-9]{1,9})"
_ADDRESS = re.compile(rf"({_HOST})?{_PORT}")
# ASCII: without it IGNORECASE takes U+017F for an s
_URL = re.IGNORECASE | re.ASCII
_SERVER = re.compile(rf"(https?|tcp)://({_HOST})(?:{_PORT})?/?", _URL)
_PORTS = {"http": "80", "https": "443", "tcp": "0"}  # of servers that name none
_OTLP = re.compile(rf"([a-z+]+)://([^@/\s]+@)?({_HOST})(?:{_PORT})?(/[!-~]*)?", _URL)
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
_AUTHORITY = re.compile(rf"({_HOST})(?:{_PORT})?")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")  # the last label of what must be an IPv4 address


def is_token(text: str) -> bool:
    """Whether `text` can be a field name or a method."""
    return _TOKEN.fullmatch(text) is not None


def is_bearer(text: str) -> bool:
    """Whether `text` can be sent as a bearer token."""
    return _BEARER.fullmatch(text) is not None


def is_text(text: str) -> bool:
    """Whether it was UTF-8: environment and arguments may hold any bytes (PEP 383)."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def is_field_value(text: str) -> bool:
    """Whether `text` can be sent as a field value: no CR, LF or NUL, no blanks at its ends, and in
    Latin-1 (RFC 9110 §5.5)."""
    return _FIELD_VALUE.fullmatch(text) is not None and text == text.strip(" \t")


def is_authority(text: str) -> bool:
    """Whether `text` can be a Host field: host, perhaps with a port."""
    found = _AUTHORITY.fullmatch(text)
    try:
        if found is not None and found[1].startswith("["):
            _checked_host(found[1], text)
        return found is not None and _port(found[2] or "80", text) > 0
    except ValueError:
        return False


def parse_address(text: str) -> tuple[str, int]:
    """Where to listen: ":8080" -> ("", 8080), "[::1]:80" -> ("::1", 80); port 0 = any free one."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is not an address: write ":8080" or "127.0.0.1:8080"')
    return _checked_host(found[1] or "", text), _port(found[2], text)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address or name, without port and brackets."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def parse_listen(text: str) -> None:
    """Check where to listen: what `parse_address` takes, or a Unix socket."""
    if is_unix(text):
        parse_unix(text)
    else:
        parse_address(text)


def is_unix(text: str) -> bool:
    """Whether an address or a server's URL means a Unix socket."""
    return text.startswith("unix:")


def parse_mode(text: str) -> int:
    """Permissions of a file in octal: "0660" -> 0o660."""
    if re.fullmatch(r"0?[0-7]{3}", text) is None:
        raise ValueError(f'{text!r} is no mode: write three octal digits, such as "0660"')
    return int(text, 8)


def is_everywhere(host: str) -> bool:
    """Whether a listener at `host` takes what comes by IPv4 and by IPv6: ":80" and "[::]:80"."""
    return not host or (":" in host and _is_ipv6(host) and int(ipaddress.IPv6Address(host)) == 0)


def overlap(one: str, other: str) -> bool:
    """Whether some address belongs to both listeners' hosts. A name is compared as it stands."""
    if is_everywhere(one) or is_everywhere(other):
        return True
    if "0.0.0.0" in (one, other):
        return ":" not in one + other
    return _canonical(one) == _canonical(other)


def is_same_place(one: str, other: str) -> bool:
    """Whether two listeners' hosts are one: those for all addresses are, whatever the family."""
    everywhere = [is_everywhere(host) or host == "0.0.0.0" for host in (one, other)]
    return all(everywhere) or (not any(everywhere) and _canonical(one) == _canonical(other))


def _canonical(host: str) -> str:
    """IPv6 addresses have many forms, names have two cases."""
    return str(ipaddress.IPv6Address(host)) if _is_ipv6(host) else host.lower().removesuffix(".")


class Server(NamedTuple):
    """One server of an upstream, as its URL says."""

    scheme: str  # http, https, tcp, unix (plain HTTP)
    host: str  # name or address; of a Unix socket its path
    port: int  # 0 for a Unix socket


def parse_server(url: str) -> Server:
    """A server's URL: "http://10.0.0.1:8000" -> ("http", "10.0.0.1", 8000)."""
    found = _SERVER.fullmatch(url)
    if found is not None:
        scheme = intern(found[1].lower())  # of tens of thousands there are four
        host = _checked_host(found[2].lower(), url)
        if found[3] is None and scheme == "tcp":
            raise ValueError(f"{url!r} has no port: write one, such as {url.rstrip('/')}:5432")
        port = _port(found[3] or _PORTS[scheme], url)
        if port == 0:
            raise ValueError(f"{url!r}: nothing can be reached at port 0")
        return Server(scheme, host, port)
    if is_unix(url):
        return Server("unix", parse_unix(url), 0)
    raise ValueError(_no_server(url))


def parse_unix(text: str) -> str:
    """The path in "unix:/run/orders.sock"."""
    path = text.removeprefix("unix:")
    if path.startswith("//"):
        raise ValueError(f'{text!r}: write "unix:/{path.lstrip("/")}"')
    if not path.startswith("/") or "\0" in path or path.endswith("/"):
        raise ValueError(f'{text!r} is not a Unix socket: write "unix:/run/orders.sock"')
    if len(path.encode()) > 107:  # struct sockaddr_un, unix(7)
        raise ValueError(f"{text!r}: the path of a Unix socket has at most 107 bytes")
    return path


def _no_server(url: str) -> str:
    """What is wrong with it."""
    scheme, separator, rest = url.partition("://")
    _check_labels(rest)
    if separator and scheme.lower().partition("+")[0] in ("dns", "srv", "file"):
        return f'{scheme}:// is a way to discover servers: write discover = "{url}"'
    if separator and scheme.lower() not in _PORTS:
        return f"{scheme}:// is not a way to reach an upstream: use http:// or https://"
    if "@" in rest:
        return "a server URL carries no user or password: set an authorization header"
    if set("/?#") & set(rest.rstrip("/")):
        path = "/" + re.split("[?#]", rest.partition("/")[2])[0].rstrip("/")
        rewrite = f'`rewrite`, such as {{ prefix = "{path}" }}'
        return f"a server URL has no path or query: use the route's {rewrite}"
    shown = f"http://{url}" if is_authority(url) and "://" not in url else "http://10.0.0.1:8000"
    remedy = _host_remedy(rest.rstrip("/")) or f'write "{shown}"'
    return f"{url!r} is not a server: {remedy}"


def _host_remedy(authority: str) -> str:
    """What to write instead of `authority`, which has no host; "" = nothing of use is known."""
    host, _, digits = authority.rpartition(":")
    if "%" in authority:
        return "an address with a zone (%eth0) cannot be reached: give one without, or a name"
    if not authority.isascii():
        try:
            return f'write host names in ASCII: "http://{authority.encode("idna").decode()}"'
        except UnicodeError:
            return "write host names in ASCII"
    for address, port in ((host, f":{digits}"), (authority, "")):
        if _is_ipv6(bare := address.strip("[]")):
            return f'an IPv6 address stands in brackets: "http://[{bare}]{port}"'
    return ""


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
    return scheme, _checked_host(host, f"{scheme}://{host}"), number, path or ""


def parse_network(text: str) -> str:
    """A CIDR network or a single address, in canonical form; "unix" stands for Unix sockets."""
    if text == "unix":
        return text
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
    """`host` of a URL or address without its brackets; ValueError if nothing is called that.

    What ends in a number is an IPv4 address or nothing (WHATWG URL §3.5): resolvers take `1.2.3`
    for 1.2.0.3, and 01.2.3.4 for whatever they like.
    """
    if host.startswith("["):
        host = host[1:-1]
        if not _is_ipv6(host):
            remedy = ": write it without brackets" if _is_ipv4(host) else ""
            raise ValueError(f"{text!r}: {host!r} is not an IPv6 address{remedy}")
    elif _NUMERIC.fullmatch(host.removesuffix(".").rpartition(".")[2]) and not _is_ipv4(host):
        remedy = "write four numbers from 0 to 255, without leading zeros"
        raise ValueError(f"{text!r}: {host!r} is not an IPv4 address: {remedy}")
    return host


def _is_ipv4(host: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False


def _is_ipv6(host: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(host))
    except ValueError:
        return False


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
    if str(port) != digits:
        raise ValueError(f"{text!r}: write the port without leading zeros: {port}")
    return port
