"""What to write where a value is of the wrong kind: a text for a table, one for a list of some."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from proxy.config.expand import Expanded
from proxy.config.locate import Path, dotted
from proxy.config.secrets import is_secret
from proxy.config.units import Seconds, Share, Size
from proxy.config.words import fill
from proxy.config.words.text import read

# The last name of the key -> what to write, whatever was there.
_TABLES = read("""
route
    write [[route]] for each, with name = "shop"
listen
    write listen = ":8080", or [[listen]] for each
upstream
    write [upstream.NAME] for each
rewrite
    say which: { path = "/new" } is the whole path, { strip = "/api" } takes a beginning away,
    { prefix = "/v2" } replaces what precedes /* in `path`
to
    write to = { stable = 90, canary = 10 } to share requests out; several servers of one kind are
    an upstream: [upstream.orders] servers = ["http://10.0.0.1:8000", …], to = "orders"
headers request response
    write headers.request.set = { x-team = "…" } towards the upstream, headers.response.set towards
    the client; `add` and `remove` are there too
set add
    write set = { x-team = "…" }
when
    write when = { method = ["GET"], header = { x-beta = "1" }, query = { v = "2" } }
header query
    write { x-beta = "1" }: name = value
redirect
    write redirect = "/new", or redirect = { to = "/new", status = 301 }
respond
    write respond = "text", respond = 204, or respond = { status = 503, body = "text" }
health
    write health = "/healthz", or health = { path = "/healthz", every = "5s" }
pool
    write pool = { idle = 128 }
retry
    write retry = 2, retry = 0 for none, or retry = { times = 2, on = [502, 503] }
trace
    write trace = { sample = 0.1 }
auth
    write auth = "staff", the name of a check [auth.staff], or auth = { all = ["staff", "keys"] }
jwt
    write jwt = { issuer = "https://id.example", audience = ["shop"], jwks =
    "https://id.example/jwks" }
api_key
    write api_key = { file = "keys.toml" }
basic
    write basic = { file = "users.htpasswd" }
forward
    write forward = { to = "http://127.0.0.1:9000/verify", headers = ["x-user"] }
mtls
    write mtls = { identities = ["spiffe://partner/*"] }
oidc
    write oidc = { issuer = "https://id.example", client_id = "shop" }
cors
    write cors = { origins = ["https://shop.example"] }
secure_headers
    write secure_headers = true, or secure_headers = { frame_options = "SAMEORIGIN" }
per_client
    write per_client = { connections = 100, requests = 200 }
claims
    write claims = { role = "admin" }
tracing
    write [tracing] sample = 0.1; sampler = "never" switches it off
export
    write [export] otlp = "grpc://localhost:4317"
admin
    write [admin] listen = "127.0.0.1:9901"; "" is no admin port
log
    write [log] format = "json", level = "info"
access_log
    write [access_log] stdout = true
metrics
    write [metrics] series = 2000; /metrics is on the [admin] port, always
limits
    write [limits] body = "20MiB"
forwarding
    write [forwarding] trust = ["10.0.0.0/8"]
defaults
    write [defaults] timeout = "30s"
labels resource attributes
    write { team = "shop" }: name = "value"
servers
    write servers = ["http://10.0.0.1:8000"], or { "http://10.0.0.1:8000" = 90, … } by weight
tls
    write tls = { ca = "/etc/ssl/ca.pem" }; whether there is TLS is in the URL, as in grpcs://
collector receivers processors exporters connectors
    write a table for each: [collector.exporters.otlp_grpc]
pipelines
    write [collector.pipelines.traces] with receivers and exporters
path
    one path is one text: write a [[route]] for each, or a regular expression: "~/(a|b)"
name
    one name is one text
""")


_OF_LISTENERS = (
    'write tls = { cert = "edge.pem", key = "edge.key" }, or for development '
    "tls = { self_signed = true }"
)
_PRIORITY = (
    'write "high", "normal" or "low": which requests an overload refuses last; which route a '
    "request goes by follows from how specific it is, and then from the order of the file"
)
_SERVERS = '["http://10.0.0.1:8000"]'


def table_for(path: Path, raw: object) -> str:
    """Where a table is wanted, and something else is there."""
    name = _last(path)
    if path[0] == "collector" and len(path) == 3:
        return f"write [{dotted(path)}], with its settings below"
    if path[:1] == ("upstream",) and len(path) == 2:
        made = _weighted(raw) if isinstance(raw, list) else ""
        return f"write [{dotted(path)}] with servers = {made or _SERVERS}"
    if name == "tls" and path[0] == "listen":
        return _OF_LISTENERS
    if name == "limits" and path[0] == "upstream":
        return "write limits = { requests = 1000 }, or limits = { adaptive = true }"
    if name == "headers" and path[0] != "route":
        return 'write headers = { x-team = "…" }'
    if name == "servers" and isinstance(raw, list) and (made := _weighted(raw)):
        return f"write servers = {made}"
    return _TABLES.get(name, f"write {name} = {{ key = value }}")


def list_for(path: Path, raw: object) -> str:
    """The same for a list."""
    name = _last(path)
    if name in ("route", "listen"):
        return _TABLES[name]
    if isinstance(raw, str | int) and not is_secret(path) and not isinstance(raw, Expanded):
        return f"write {name} = [{text(raw)}]"
    return f'write {name} = ["…"]'


def value_for(path: Path, raw: object, wanted: str) -> str:
    """Where a single value is wanted, `wanted` in words: "a whole number >= 1"."""
    name = _last(path)
    if isinstance(raw, dict | list):
        return _TABLES.get(name, "")
    if wanted.startswith("a whole number") and path[-2:-1] in (("servers",), ("to",)):
        return 'weights are whole numbers, such as { "stable" = 90, "canary" = 10 }'
    if name == "priority" and path[0] == "route":
        return _PRIORITY
    digits = raw.strip() if isinstance(raw, str) else ""
    if wanted.startswith("a whole number") and _DIGITS.fullmatch(digits):
        return f"write {digits}, without quotes"
    unit = re.fullmatch(r"([0-9]+)\s*(?:mib|mb|m|%)", digits, re.IGNORECASE)
    if unit is not None and name.endswith(("_mib", "_percentage")):
        return f"write {name} = {unit[1]}"
    if name == "status" and isinstance(raw, str) and _CLASS.fullmatch(raw.lower()):
        return _ALL_OF_IT
    if wanted.startswith("true or false"):
        return f"write {name} = {'false' if str(raw).lower() in _NO else 'true'}"
    if wanted.startswith("a string") and isinstance(raw, int | float):
        return _quoted(path, raw)
    return ""


def missing(path: Path, name: str) -> str:
    """Where a table lacks a key that it must have."""
    example = {"address": '":8080"', "to": '"/new"', "scrape_configs": "[{ … }]"}.get(name, '"…"')
    if name in ("receivers", "exporters"):
        example = f'["{"gateway" if name == "receivers" else "otlp_grpc"}"]'
    return f"write {name} = {example}"


def unit_for(path: Path, raw: object, kind: type) -> str:
    """How a size, duration or share is written that has the form of another program."""
    if isinstance(raw, Expanded):
        return ""
    if _last(path) == "queue_size":
        return "the queue is bounded in bytes here, not in batches or items"
    if kind is Share and isinstance(raw, str):
        text = raw.strip().rstrip("%")
        share = float(text) / (100 if "%" in raw else 1) if _NUMBER.fullmatch(text) else -1
        return f"write {share:g}" if 0 <= share <= 1 else ""
    made = fill.duration(raw) if kind is Seconds else fill.size(raw) if kind is Size else ""
    return f"write {made}" if made and isinstance(raw, str) else ""


def choice_for(path: Path, raw: object, choices: list[str]) -> str:
    """The choice that is meant by a word of another program, or by one that is nearly the same."""
    word = str(raw).lower().replace("-", "_").strip()
    if isinstance(raw, str) and _DIGITS.fullmatch(word):
        return f"write {word}, without quotes"
    if _last(path) == "on" and _CLASS.fullmatch(word):
        return _ALL_OF_IT
    if "br" in choices:
        return 'write "br"' if word == "brotli" else ""
    meant = _CHOICES.get(word, "")
    if meant in choices:
        return f'write "{meant}"'
    if meant.startswith("write "):
        return meant
    if close := get_close_matches(word, choices, n=1, cutoff=0.6):
        return f"did you mean `{close[0]}`?"
    return meant if " " in meant else ""


_CLASS = re.compile(r"[45]xx")
_ALL_OF_IT = "write on = [500, 502, 503, 504]"
_DIGITS = re.compile(r"[0-9]{1,18}")
_LISTENING = ("grpc", "http", "endpoint", "thrift_http", "thrift_compact", "thrift_binary")
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_CHOICES = read("""
parentbased_always_on parentbased_traceidratio parentbased parent_based
    parent
always_on always_sample on all
    always
always_off never_sample off none
    never
traceidratio trace_id_ratio probabilistic
    ratio
tracecontext trace_context traceparent
    w3c
b3_multi
    b3multi
b3_single zipkin
    b3
round_robin roundrobin rr
    round_robin
least_conn leastconn least_connections least_requests least_request p2c power_of_two_choices
random_choose least_outstanding_requests
    least_request
ewma peak_ewma peakewma least_time leasttime latency least_response_time
    peak_ewma
hash
    hash
ip_hash client_ip client_ip_hash source source_hash source_ip src
    write balance = { policy = "hash", on = "client" }
consistent_hash consistent ring_hash ringhash ketama chash hrw rendezvous
    write balance = { policy = "hash", on = "header:x-user", algorithm = "ring" }
maglev
    write balance = { policy = "hash", on = "header:x-user" }
uri uri_hash path_hash url_param
    write balance = { policy = "hash", on = "path:id" }, for a route with {id} in its path
sticky cookie sticky_cookie session
    write sticky = { cookie = "srv", ttl = "1h" }
first first_available
    write servers = ["…"] and backup = ["…"]
zstd brotli deflate br snappy
    for others write [collector.exporters.otlp_http], which has zstd, brotli and deflate
baggage
    baggage is passed on by [tracing] baggage = true
jaeger xray ottrace
    there are w3c, b3 and b3multi
""")
_NO = ("no", "off", "false", "0", "none", "disabled")


def _quoted(path: Path, raw: float) -> str:
    if is_secret(path):
        return "write it in quotes"
    name = _last(path)
    listens = path[:2] == ("collector", "receivers") and name in _LISTENING
    if path == ("admin", "listen") or listens:
        return f'write {name} = "127.0.0.1:{raw}"'
    return f'write it in quotes: "{raw}"'


def _weighted(raw: list[Any]) -> str:
    """`[{ url = "http://a", weight = 2 }]` as a table of weights."""
    pairs = []
    for item in raw:
        url = item.get("url", item.get("address")) if isinstance(item, dict) else item
        weight = item.get("weight", 1) if isinstance(item, dict) else 1
        if not isinstance(url, str) or isinstance(url, Expanded):
            return ""
        pairs.append(f'"{url if "://" in url else f"http://{url}"}" = {weight}')
    return f"{{ {', '.join(pairs)} }}" if pairs else ""


def text(raw: str | int) -> str:
    """A text or number as TOML writes it."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    return str(raw) if isinstance(raw, int) else f'"{raw}"'


def _last(path: Path) -> str:
    return next((step for step in reversed(path) if isinstance(step, str)), "")
