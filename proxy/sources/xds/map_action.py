"""What an Envoy route does with a request -> the keys of a route's table that say it.

Where a route names clusters, these are cluster names still: whoever puts the tables together knows
which of them there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from proxy.sources.xds.map_retry import map_retry
from proxy.sources.xds.reading import Reader, Refused, named, seconds, share_of, text_of, which

TIMEOUT = "15s"  # Envoy's own, of a route that says nothing
LONG = 60  # seconds: what a route waits for the first byte here, unless it is told
MOST_PORT = 65535
REDIRECTS = (301, 302, 303, 307, 308)  # by RedirectAction.RedirectResponseCode


@dataclass(slots=True)
class Action:
    """The part of a route's table that says what happens; clusters by their own names."""

    table: dict[str, Any] = field(default_factory=dict)
    clusters: dict[str, int] = field(default_factory=dict)  # by weight
    mirror: str = ""
    hashed: str = ""  # `balance.on` of the clusters that go by a hash


def map_forward(action: Any, match: Any, reader: Reader) -> Action:
    """RouteAction. `match` is the RouteMatch, of which a rewrite of the prefix needs to know."""
    reader.only(
        action, "cluster", "weighted_clusters", "cluster_not_found_response_code", "prefix_rewrite",
        "host_rewrite_literal", "timeout", "idle_timeout", "retry_policy", "priority",
        "request_mirror_policies", "hash_policy", "upgrade_configs", "max_stream_duration",
    )  # fmt: skip
    if action.priority:
        raise Refused("RouteAction.priority HIGH is not supported")
    if action.cluster_not_found_response_code:
        raise Refused("RouteAction.cluster_not_found_response_code is supported as 503 only")
    made = Action()
    _clusters(action, made, reader)
    if action.prefix_rewrite:
        made.table["rewrite"] = _rewrite(action.prefix_rewrite, match)
    if action.host_rewrite_literal:
        made.table["host_header"] = action.host_rewrite_literal
    _times(action, made.table, reader)
    if action.HasField("retry_policy"):
        retry = map_retry(action.retry_policy, reader)
        made.table["retry"] = retry or {"times": 0}
    if action.upgrade_configs:
        made.table["upgrade"] = upgrades(action.upgrade_configs, reader)
    _mirror(action.request_mirror_policies, made, reader)
    made.hashed = _hashed(action.hash_policy, reader)
    return made


def map_redirect(action: Any, match: Any, reader: Reader) -> Action:
    """RedirectAction."""
    reader.only(
        action, "https_redirect", "scheme_redirect", "host_redirect", "port_redirect",
        "path_redirect", "prefix_rewrite", "response_code", "strip_query",
    )  # fmt: skip
    if action.response_code not in range(len(REDIRECTS)):
        raise Refused(f"RedirectAction.response_code {action.response_code} is not supported")
    if action.port_redirect > MOST_PORT:
        raise Refused(f"RedirectAction.port_redirect {action.port_redirect} is none")
    scheme = "https" if action.https_redirect else action.scheme_redirect
    to = ""
    if scheme or action.host_redirect or action.port_redirect:
        if not scheme:
            raise Refused("RedirectAction needs a scheme where it names a host or a port")
        port = f":{action.port_redirect}" if action.port_redirect else ""
        to = f"{scheme}://{_literal(action.host_redirect) or '{host}'}{port}"
    if action.prefix_rewrite:
        rest = _rewrite(action.prefix_rewrite, match)
        to += rest.get("path") or rest.get("prefix", "").rstrip("/") + "{*}"
    else:
        to += _literal(action.path_redirect) or "{path}"
    if action.strip_query and "?" not in to:
        to += "?"
    return Action({"redirect": {"to": to, "status": REDIRECTS[action.response_code]}})


def map_answer(action: Any, reader: Reader) -> Action:
    """DirectResponseAction."""
    reader.only(action, "status", "body")
    body = ""
    if action.HasField("body"):
        kind = which(action.body, "specifier")
        if kind not in ("inline_string", "inline_bytes"):
            raise Refused(f"DirectResponseAction.body.{kind} is not supported")
        try:
            said = getattr(action.body, kind)
            body = said if isinstance(said, str) else said.decode()
        except UnicodeDecodeError:
            raise Refused("DirectResponseAction.body is no text") from None
    return Action({"respond": {"status": action.status, **({"body": body} if body else {})}})


def map_headers(levels: Iterable[Any], reader: Reader) -> dict[str, Any]:
    """The table `headers` of messages with request_headers_to_add and its kind, the inner first."""
    sides: dict[str, dict[str, Any]] = {"request": {}, "response": {}}
    for level in levels:
        for side, edit in sides.items():
            for option in getattr(level, f"{side}_headers_to_add"):
                _edit(option, edit, reader)
            for name in getattr(level, f"{side}_headers_to_remove"):
                edit.setdefault("remove", []).append(name)
    return {side: edit for side, edit in sides.items() if edit}


def upgrades(configs: Any, reader: Reader) -> list[str]:
    """Protocols that are switched to."""
    found = []
    for config in configs:
        reader.only(config, "upgrade_type", "enabled")
        if config.upgrade_type.upper() == "CONNECT":
            raise Refused("UpgradeConfig for CONNECT is not supported")
        if not config.HasField("enabled") or config.enabled.value:
            found.append(config.upgrade_type.lower())
    return found


def _clusters(action: Any, made: Action, reader: Reader) -> None:
    kind = which(action, "cluster_specifier")
    if kind == "cluster":
        made.clusters[named(action.cluster, "RouteAction.cluster")] = 1
        return
    if kind != "weighted_clusters":
        raise Refused(f"RouteAction.{kind or 'cluster_specifier'} is not supported")
    reader.only(action.weighted_clusters, "clusters", "total_weight")
    for one in action.weighted_clusters.clusters:
        reader.only(one, "name", "weight")
        if one.weight.value:
            named(one.name, "ClusterWeight.name")
            made.clusters[one.name] = made.clusters.get(one.name, 0) + one.weight.value
    if not made.clusters:
        raise Refused("WeightedCluster has no cluster with a weight")


def _rewrite(new: str, match: Any) -> dict[str, str]:
    """A prefix's text is replaced, and of an exact path all."""
    if "{" in new or "*" in new:
        raise Refused("prefix_rewrite with { or * is not supported")
    kind = which(match, "path_specifier")
    if kind == "path":
        return {"path": new}
    if kind == "path_separated_prefix":
        return {"prefix": new}
    if kind != "prefix" or (match.HasField("case_sensitive") and not match.case_sensitive.value):
        raise Refused("prefix_rewrite is supported with prefix and path only")
    if match.prefix in ("", "/"):
        return {"prefix": new}
    return {"path": new + "{*}"}


def _times(action: Any, table: dict[str, Any], reader: Reader) -> None:
    table["timeout"] = text_of(action.timeout) if action.HasField("timeout") else TIMEOUT
    whole = seconds(action.timeout) if action.HasField("timeout") else 15
    if not 0 < whole <= LONG:
        table["first_byte_timeout"] = "0s"  # nothing but the whole time counts there
    if action.HasField("idle_timeout"):
        table["idle_timeout"] = text_of(action.idle_timeout)
    if action.HasField("max_stream_duration"):
        reader.only(action.max_stream_duration, "max_stream_duration")
        table["stream_timeout"] = text_of(action.max_stream_duration.max_stream_duration)


def _mirror(policies: Any, made: Action, reader: Reader) -> None:
    if len(policies) > 1:
        raise Refused("RouteAction.request_mirror_policies is supported once")
    for policy in policies:
        reader.only(policy, "cluster", "runtime_fraction")
        made.mirror = named(policy.cluster, "RequestMirrorPolicy.cluster")
        made.table["mirror"] = {"share": 1.0}
        if policy.HasField("runtime_fraction"):
            made.table["mirror"]["share"] = share_of(policy.runtime_fraction.default_value)


def _hashed(policies: Any, reader: Reader) -> str:
    if len(policies) > 1:
        raise Refused("RouteAction.hash_policy is supported once")
    for policy in policies:
        reader.only(policy, "header", "cookie", "connection_properties", "terminal")
        if policy.HasField("header"):
            reader.only(policy.header, "header_name")
            return f"header:{named(policy.header.header_name, 'Header.header_name').lower()}"
        if policy.HasField("cookie"):
            reader.only(policy.cookie, "name")
            return f"cookie:{named(policy.cookie.name, 'Cookie.name')}"
        if policy.connection_properties.source_ip:
            return "client"
        raise Refused("RouteAction.hash_policy needs a header, a cookie or source_ip")
    return ""


def _edit(option: Any, edit: dict[str, Any], reader: Reader) -> None:
    reader.only(option, "header", "append", "append_action")
    reader.only(option.header, "key", "value")
    name, value = option.header.key, option.header.value
    if value.replace("%%", "").count("%"):
        raise Refused(f"HeaderValue {name}: %COMMANDS% are not supported")
    adds = option.append_action == 0
    if option.HasField("append"):
        adds = option.append.value
    elif option.append_action not in (0, 2):
        raise Refused(f"HeaderValueOption {name}: this append_action is not supported")
    known = edit.setdefault("add" if adds else "set", {})
    if adds and name in known:
        raise Refused(f"HeaderValueOption {name} is added twice")
    known.setdefault(name, value.replace("%%", "%"))


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise Refused("RedirectAction with { or } is not supported")
    return text
