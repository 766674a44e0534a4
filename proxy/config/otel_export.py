"""Where the `OTEL_*` variables send each signal, in the URL forms of `[export]`.

    grpc            http://h:4317   grpc://h:4317        https://h:4317   grpcs://h:4317
    http/protobuf   http://h:4318   http://h:4318        https://h:4318   https://h:4318
    http/json       http://h:4318   http+json://h:4318   https://h:4318   https+json://h:4318

The specification exports to localhost unless told otherwise; a gateway that nobody has told to
export stays silent, so it takes an endpoint, or an exporter that is called `otlp` by name.
"""

from __future__ import annotations

from proxy.config.otel_env import Environment, Raw, put
from proxy.config.slips_observe import own_paths
from proxy.config.syntax import parse_otlp

SIGNALS = ("traces", "metrics", "logs")
DEFAULT_ENDPOINT = {"grpc": "http://localhost:4317"}
DEFAULT_HTTP = "http://localhost:4318"

_PROTOCOLS = {"grpc": "grpc", "http/protobuf": "http", "http/json": "http+json"}
_GENERAL = ("HEADERS", "COMPRESSION", "TIMEOUT", "CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")


def fill_export(export: Raw, env: Environment) -> None:
    """Say in `[export]` what goes where, as far as the file does not."""
    if env.truth("OTEL_SDK_DISABLED"):
        put(export, "signals", [])  # nothing leaves; context is still passed on
        return
    exporters = {signal: _exporters(signal, env) for signal in SIGNALS}
    wanted = [s for s in SIGNALS if "otlp" in (exporters[s] or ("otlp",))]
    if len(wanted) < len(SIGNALS):
        put(export, "signals", wanted)
    if "console" in (exporters["traces"] or ()):
        put(export, "console", True)
    if export.keys() & {"otlp", *SIGNALS}:
        return
    named = any("otlp" in (names or ()) for names in exporters.values())
    _endpoints(export, wanted, named, env)


def _endpoints(export: Raw, wanted: list[str], named: bool, env: Environment) -> None:
    prefix = "OTEL_EXPORTER_OTLP_"
    protocol = env.choice(f"{prefix}PROTOCOL", _PROTOCOLS) or "http"
    given = env.get(f"{prefix}ENDPOINT")
    default = DEFAULT_ENDPOINT.get(protocol, DEFAULT_HTTP)
    general = _url(f"{prefix}ENDPOINT", given or default, protocol, env)
    if general and (base := own_paths(general)):
        message = "the path of each signal is appended to this URL"
        env.ignored(f"{prefix}ENDPOINT", message, f'write "{base}"')
    if general and (given or named):
        export["otlp"] = [general]
    for signal in wanted:
        own = f"{prefix}{signal.upper()}_"
        _refuse_unshared(own, env)
        own_protocol = env.choice(f"{own}PROTOCOL", _PROTOCOLS) or protocol
        own_url = env.get(f"{own}ENDPOINT")
        if not own_url and own_protocol != protocol and (given or named):
            base = given or DEFAULT_ENDPOINT.get(own_protocol, DEFAULT_HTTP)
            own_url = base if own_protocol == "grpc" else _with_path(base, signal)
        if own_url and (url := _url(f"{own}ENDPOINT", own_url, own_protocol, env)):
            export[signal] = [url]


def _exporters(signal: str, env: Environment) -> tuple[str, ...] | None:
    """The exporters named for a signal, "none" among them; None = none named."""
    name = f"OTEL_{signal.upper()}_EXPORTER"
    known = {"otlp", "none", "console", *(["prometheus"] if signal == "metrics" else [])}
    found = []
    for word in env.words(name):
        if word == "console" and signal == "metrics":
            env.ignored(name, "metrics are not printed, ignored", "see /metrics on the admin port")
        elif word in known:
            found.append(word)  # prometheus: the admin port always serves /metrics
        else:
            remedy = f"known: {', '.join(sorted(known))}"
            env.ignored(name, f"{word!r} is not known here, ignored", remedy)
    return tuple(found) or None


def _url(name: str, endpoint: str, protocol: str, env: Environment) -> str | None:
    scheme, separator, rest = endpoint.partition("://")
    if not separator:
        rest = endpoint
        # Only gRPC endpoints may come without a scheme; they are secure unless told otherwise.
        insecure = env.truth("OTEL_EXPORTER_OTLP_INSECURE")
        scheme = "http" if insecure else "https"
    known = scheme.lower() in ("http", "https") and (separator or protocol == "grpc")
    secure = "s" if scheme.lower() == "https" else ""
    if protocol == "grpc":
        url = f"grpc{secure}://{rest.rstrip('/')}"
    else:
        url = f"http{secure}{protocol.removeprefix('http')}://{rest}"
    try:
        if not known:
            raise ValueError(f"{endpoint!r} is neither http:// nor https://")
        parse_otlp(url)
    except ValueError as error:
        env.ignored(name, f"{error}; ignored")
        return None
    return url


def _with_path(base: str, signal: str) -> str:
    """A general endpoint is a base, an own one is used as it is (protocol/exporter.md)."""
    return f"{base.rstrip('/')}/v1/{signal}"


def _refuse_unshared(prefix: str, env: Environment) -> None:
    for tail in _GENERAL:
        if env.get(prefix + tail):
            remedy = f"set OTEL_EXPORTER_OTLP_{tail}"
            env.ignored(prefix + tail, "all signals share this setting here, ignored", remedy)
