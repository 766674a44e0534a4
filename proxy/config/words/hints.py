"""The remedy for a key that a table does not have: what it is called here, or where it belongs.

A word of another program comes first, since its nearest namesake here may be something else; then
what is spelled differently, what is missing altogether, what another table has, and what is nearly
the same. What nothing fits gets the list of what there is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from proxy.config.expand import Expanded
from proxy.config.locate import Path
from proxy.config.model import Config
from proxy.config.secrets import without_secrets
from proxy.config.words import (
    access,
    components,
    fill,
    mesh,
    missing,
    observing,
    route,
    smaller,
    special,
    top,
    upstream,
)

Tables = Mapping[str, Collection[str]]  # name of a struct of the model -> its keys

_OF_TABLE: dict[str, dict[str, str]] = {
    "Config": top.TOP,
    "Route": route.ROUTE,
    "Upstream": upstream.UPSTREAM,
    "Balance": upstream.BALANCE,
    "Sticky": upstream.STICKY,
    "Health": upstream.HEALTH,
    "Eject": upstream.EJECT,
    "Breaker": upstream.BREAKER,
    "UpstreamLimits": upstream.LIMITS,
    "Pool": upstream.POOL,
    "Retry": upstream.RETRY,
    "Defaults": {k: v for k, v in route.ROUTE.items() if "timeout" in k or "retr" in k},
    "Listener": smaller.LISTENER,
    "Compress": smaller.COMPRESS,
    "Errors": smaller.ERRORS,
    "RouteErrors": smaller.ERRORS,
    "ErrorPage": smaller.ERROR_PAGE,
    "When": smaller.WHEN,
    "Rewrite": smaller.REWRITE,
    "Redirect": smaller.REDIRECT,
    "Respond": smaller.RESPOND,
    "Headers": smaller.HEADERS,
    "HeaderEdit": smaller.HEADER_EDIT,
    "Tracing": observing.TRACING,
    "Export": observing.EXPORT,
    "Tls": observing.TLS,
    "Admin": observing.ADMIN,
    "Log": observing.LOG,
    "AccessLog": observing.ACCESS_LOG,
    "Metrics": observing.METRICS,
    "Limits": smaller.LIMITS,
    "Slo": smaller.SLO,
    "Forwarding": smaller.FORWARDING,
    "Auth": access.AUTH,
    "Jwt": access.JWT,
    "ApiKey": access.API_KEY,
    "Basic": access.BASIC,
    "Forward": access.FORWARD,
    "Mtls": access.MTLS,
    "Oidc": access.OIDC,
    "AuthUse": access.AUTH_USE,
    "Cors": access.CORS,
    "SecureHeaders": access.SECURE_HEADERS,
    "PerClient": access.PER_CLIENT,
    "MeshIdentity": mesh.IDENTITY,
    "MeshAllow": mesh.ALLOW,
    "CollectorPipeline": observing.PIPELINE,
    "Collector": observing.COLLECTOR,
}
_CLOSED = {
    *("receivers", "processors", "exporters", "connectors", "extensions", "pipelines", "service"),
    *("providers", "api", "global"),
}
_AMBIGUOUS = {"name", "path", "method", "policy", "type", "hash", "random", "to", "uri", "target"}
_OF_LISTENERS = {"entry_points", "listeners", "frontend", "frontends"}
_OF_SERVERS = {
    "services",
    "servers",
    "upstreams",
    "clusters",
    "backends",
    "load_balancer",
    "backend",
}
_TITLES = {
    "Route": "[[route]]",
    "Upstream": "[upstream.NAME]",
    "Listener": "[[listen]]",
    "Compress": "`compress` of a route",
    "Mirror": "`mirror` of a route",
    "SplitBy": "`split` of a route",
    "Publish": "`publish` of a route",
    "Consume": "[[consume]]",
    "Messaging": "[messaging]",
    "Kafka": "[messaging.kafka.NAME]",
    "RedisStreams": "[messaging.redis.NAME]",
    "Slo": "`slo` of a route",
    "Auth": "[auth.NAME]",
    "Jwt": "`jwt` of [auth.NAME]",
    "ApiKey": "`api_key` of [auth.NAME]",
    "Basic": "`basic` of [auth.NAME]",
    "Forward": "`forward` of [auth.NAME]",
    "Mtls": "`mtls` of [auth.NAME]",
    "Oidc": "`oidc` of [auth.NAME]",
    "AuthUse": "`auth` of a route",
    "Cors": "`cors` of a route",
    "SecureHeaders": "`secure_headers` of a route",
    "PerClient": "`per_client` of [limits]",
    "MeshIdentity": "`identity` of [mesh]",
    "MeshAllow": "`allow` of [mesh]",
    "Errors": "[errors]",
    "RouteErrors": "`errors` of a route",
    "ErrorPage": "`pages` of [errors]",
    "Maintenance": "`maintenance` of [errors]",
    "When": "`when` of a route",
    "Rewrite": "`rewrite` of a route",
    "Health": "`health` of an upstream",
    "Eject": "`eject` of an upstream",
    "Breaker": "`breaker` of an upstream",
    "UpstreamLimits": "`limits` of an upstream",
    "Pool": "`pool` of an upstream",
    "XdsSource": "[source.xds]",
    "Retry": "`retry`",
    "Defaults": "[defaults]",
    "Tracing": "[tracing]",
    "Export": "[export]",
    "Admin": "[admin]",
    "Recent": "[recent]",
    "Ui": "[ui]",
    "Log": "[log]",
    "AccessLog": "[access_log]",
    "Metrics": "[metrics]",
    "Limits": "[limits]",
    "Forwarding": "[forwarding]",
    "Sources": "[source]",
    "KubernetesSource": "[source.kubernetes]",
    "EtcdSource": "[source.etcd]",
    "ConsulSource": "[source.consul]",
    "FileSource": "[source.file]",
}
_ABOVE = (
    "`{key}` stands at the top of the file, above the first [table]: TOML counts it into the table"
    " before it"
)
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")

_NEAR = 0.7  # how alike a misspelt key is to the one that was meant (difflib)


def remedy(table: str, key: str, value: object, tables: Tables) -> str:
    """What to write instead of `key`, which is no key of `table`."""
    known = tables[table]
    name = plain(key)
    if name in _OF_TABLE.get(table, ()):
        return word_of(table, key, value)
    if alike := [k for k in known if plain(k) == name]:
        return f"write `{alike[0]}`"
    return (
        _fields(table, key)
        or _not_here(table, name)
        or _of_another(table, name, value)
        or _at_the_top(table, key, value, tables)
        or _elsewhere(table, key, tables)
        or _nearly(table, name, value, known)
        or f"known: {', '.join(sorted(known))}"
    )


def of_component(place: str, key: str, value: object, known: Collection[str]) -> str:
    """The same for the settings of a component; `place` is such as "exporters.otlp_grpc"."""
    name = plain(key)
    if (word := components.word(place, name)) is not None:
        return fill.filled(word, value)
    if alike := [k for k in known if plain(k) == name]:
        return f"write `{alike[0]}`"
    if close := get_close_matches(key, known, n=1, cutoff=0.6):
        return f"did you mean `{close[0]}`?"
    return f"known: {', '.join(sorted(known))}" if known else "it has no settings"


def is_word(table: str, key: str) -> bool:
    """Whether people write this key into that table who know another program."""
    return plain(key) in _OF_TABLE[table]


def word_of(table: str, key: str, value: object) -> str:
    """The hint for such a key."""
    name = plain(key)
    said = value if isinstance(value, Expanded) else special.hint(table, name, value)
    if said and not isinstance(said, Expanded):
        return str(said)
    words = _OF_TABLE[table]
    several = isinstance(value, list) and table == "Route" and words[name] == words["proxy_pass"]
    return fill.filled(words["servers" if several else name], value)


def inside(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """(path, hint) of the words of others in a table at `path` that is none of ours."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from inside(item, (*path, i))
    for key, item in value.items() if isinstance(value, dict) else ():
        here = (*path, str(key))
        if not _holds_tables(item) and (word := _anywhere(here, item)):
            yield here, word
        yield from inside(item, here)


def is_closed(key: str) -> bool:
    """Whether all is said about an unknown table at the top, and nothing about what is in it."""
    name = plain(key)
    ours = Config.__struct_fields__
    misspelt = not is_word("Config", key) and get_close_matches(key, ours, n=1, cutoff=_NEAR)
    return name in missing.NAMES or name in _CLOSED or name in ours or bool(misspelt)


def _holds_tables(value: object) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
    )


def _anywhere(path: Path, value: object) -> str:
    key = str(path[-1])
    around = {plain(step) for step in path[:-1] if isinstance(step, str)}
    if around & _OF_LISTENERS and plain(key) in ("address", "port", "port_value", "bind"):
        return word_of("Config", "port", value)
    for table in ("Upstream", "Route") if around & _OF_SERVERS else ("Route", "Upstream"):
        if is_word(table, key) and key not in ("path", "name", "weight"):
            return word_of(table, key, value)
    return missing.NAMES.get(plain(key), "")


def plain(key: str) -> str:
    """stripPrefix, strip-prefix and Strip_Prefix are one word."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower().replace("-", "_").replace(" ", "_")


def _fields(table: str, key: str) -> str:
    """`headers.request = { x-team = "shop" }`, and their kind; values may be secret: not shown."""
    if table == "Upstream" and "://" in key:
        return f'write servers = {{ "{without_secrets(key)}" = 1 }}'
    if not _TOKEN.fullmatch(key):
        return ""
    if table == "HeaderEdit":
        return (
            f"write set = {{ {key} = … }}; `add` adds to what is there, `remove` is a list of names"
        )
    if table == "Headers":
        return (
            f"say towards whom: headers.request.set = {{ {key} = … }} is for the upstream,"
            f" headers.response.set = {{ {key} = … }} for the client"
        )
    if table == "When" and "-" in key:
        return f'write header = {{ {key} = "…" }}'
    return ""


def _not_here(table: str, name: str) -> str:
    if table in ("Upstream", "Health", "Pool") and missing.NAMES.get(name) == missing.NAMES["tls"]:
        name = "proxy_ssl_verify"  # TLS there is that to servers
    return missing.NAMES.get(name, "")


def _of_another(table: str, name: str, value: object) -> str:
    """A word that people write into another table, whose hint says where it belongs."""
    if table not in ("Config", "Route", "Upstream") or name in _AMBIGUOUS:
        return ""
    others = {"Config": "", "Upstream": "in [upstream.NAME]: ", "Route": "in a [[route]]: "}
    for other, place in others.items():
        if other != table and name in _OF_TABLE[other]:
            return place + word_of(other, name, value)
    return ""


def _at_the_top(table: str, key: str, value: object, tables: Tables) -> str:
    if key not in tables["Config"] or table == "Config":
        return ""
    if isinstance(value, dict):
        return f"write [{key}], a table of its own"
    return _ABOVE.format(key=key)


def _elsewhere(table: str, key: str, tables: Tables) -> str:
    places = [_TITLES[t] for t in _TITLES if t != table and key in tables.get(t, ())]
    return f"`{key}` is a key of {' and '.join(places)}" if 0 < len(places) <= 3 else ""


def _nearly(table: str, name: str, value: object, known: Collection[str]) -> str:
    if close := get_close_matches(name, known, n=1, cutoff=_NEAR):
        return f"did you mean `{close[0]}`?"
    words = _OF_TABLE.get(table, {})
    if close := get_close_matches(name, words, n=1, cutoff=0.85):
        return fill.filled(words[close[0]], value)
    return ""
