"""The standard `OTEL_*` variables fill what the file leaves out; the file wins.

Source: OpenTelemetry specification, configuration/sdk-environment-variables.md and
protocol/exporter.md. An empty value is an unset one, enumerations ignore case, and what does not
parse is reported and ignored. Only values that the model accepts leave this module, because a bad
environment must not stop a gateway whose file is good. Where telemetry goes (endpoints, protocols,
signals) is `otel_export.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from proxy.config.report import Report, suggestion
from proxy.config.syntax import is_field_value, is_text, is_token

Raw = dict[str, Any]


class Environment:
    """The variables of a process, and the complaints about them."""

    __slots__ = ("_environ", "_report")

    def __init__(self, environ: Mapping[str, str], report: Report) -> None:
        self._environ = environ
        self._report = report

    def get(self, name: str) -> str:
        """The value, "" if unset, empty, or not in UTF-8 (which no exporter could send)."""
        value = self._environ.get(name, "").strip()
        return value if is_text(value) else ""

    def ignored(self, name: str, message: str, remedy: str = "") -> None:
        self._report.foreign("environment", name, message, remedy)

    def choice(self, name: str, known: Mapping[str, Any]) -> Any:
        """What the value stands for in `known`; None if unset or unknown."""
        value = self.get(name).lower()
        if value and value not in known:
            self.ignored(name, f"{value!r} is not known here, ignored", suggestion(value, known))
        return known.get(value) if value else None

    def truth(self, name: str) -> bool:
        value = self.get(name).lower()
        if value not in ("", "true", "false"):
            self.ignored(name, f"{value!r} counts as false", "write true or false")
        return value == "true"

    def count(self, name: str) -> int | None:
        value = self.get(name)
        if not value:
            return None
        if not (value.isascii() and value.isdigit() and len(value) < 16):
            self.ignored(name, f"{value!r} is not a whole number, ignored")
            return None
        return int(value)

    def millis(self, name: str) -> str | None:
        """A duration in the file's notation."""
        count = self.count(name)
        return None if count is None else f"{count}ms"

    def words(self, name: str) -> list[str]:
        """A comma-separated list without duplicates."""
        items = (item.strip().lower() for item in self.get(name).split(","))
        return list(dict.fromkeys(item for item in items if item))

    def pairs(self, name: str) -> dict[str, str] | None:
        """`k=v,k=v`, percent-decoded; None if any of it does not decode (all of it is dropped)."""
        found: dict[str, str] = {}
        for item in self.get(name).split(","):
            if not item.strip():
                continue
            key, equals, value = item.partition("=")
            decoded = _decoded(value.strip())
            if not equals or not key.strip() or decoded is None:
                remedy = "write key=value,key=value with `,` and `=` as %2C and %3D"
                self.ignored(name, "a pair does not decode, the variable is ignored", remedy)
                return None
            found[key.strip()] = decoded
        return found


def table(raw: Raw, *names: str) -> Raw:
    """A table of the file, made if it is not there; a throw-away one if something else is there."""
    for name in names:
        inner = raw.setdefault(name, {})
        raw = inner if isinstance(inner, dict) else {}
    return raw


# What SDKs take there; the specification names the variable and its default alone.
_LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "fatal": "error",
}


def fill(raw: Raw, env: Environment) -> None:
    """Put into `raw` (in its long form) what the environment says and the file does not."""
    _resource(table(raw, "resource"), env)
    _sampler(table(raw, "tracing"), env)
    _propagators(table(raw, "tracing"), env)
    _methods(table(raw, "tracing"), env)
    _exemplars(table(raw, "metrics"), env)
    put(table(raw, "log"), "level", env.choice("OTEL_LOG_LEVEL", _LEVELS))
    _client(table(raw, "export"), env)
    _batching(table(raw, "export"), env)


def put(target: Raw, key: str, value: object) -> None:
    """Say a value where the file says none."""
    if value is not None:
        target.setdefault(key, value)


def _decoded(text: str) -> str | None:
    plain = unquote_to_bytes(text)
    # A "%" that starts no escape stays in unquote's result: "50%" and "%zz" are errors here.
    if text.count("%") != sum(_is_escape(text, i) for i, c in enumerate(text) if c == "%"):
        return None
    try:
        return plain.decode()
    except UnicodeDecodeError:
        return None


def _is_escape(text: str, at: int) -> bool:
    digits = text[at + 1 : at + 3]
    return len(digits) == 2 and all(c in "0123456789abcdefABCDEF" for c in digits)


def _resource(resource: Raw, env: Environment) -> None:
    put(resource, "service.name", env.get("OTEL_SERVICE_NAME") or None)
    for key, value in (env.pairs("OTEL_RESOURCE_ATTRIBUTES") or {}).items():
        put(resource, key, value)


def _sampler(tracing: Raw, env: Environment) -> None:
    ratio = _ratio(env)
    known: dict[str, tuple[str, float]] = {
        "always_on": ("always", 1.0),
        "always_off": ("never", 0.0),
        "traceidratio": ("ratio", ratio),
        "parentbased_always_on": ("parent", 1.0),
        "parentbased_always_off": ("parent", 0.0),
        "parentbased_traceidratio": ("parent", ratio),
    }
    found = env.choice("OTEL_TRACES_SAMPLER", known)
    # One decision in two keys: a file that says either has said it all.
    if found and not tracing.keys() & {"sample", "sampler"}:
        tracing["sampler"], tracing["sample"] = found


def _ratio(env: Environment) -> float:
    text = env.get("OTEL_TRACES_SAMPLER_ARG")
    if not text or "ratio" not in env.get("OTEL_TRACES_SAMPLER").lower():
        return 1.0
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if 0 <= ratio <= 1:
        return ratio
    env.ignored("OTEL_TRACES_SAMPLER_ARG", f"{text!r} is not a number from 0 to 1, taken as 1")
    return 1.0


def _propagators(tracing: Raw, env: Environment) -> None:
    names = env.words("OTEL_PROPAGATORS")
    known = {"tracecontext": "w3c", "b3": "b3", "b3multi": "b3multi", "baggage": "", "none": ""}
    for name in names:
        if name not in known:
            remedy = f"known: {', '.join(known)}"
            env.ignored("OTEL_PROPAGATORS", f"{name!r} is not known here, ignored", remedy)
    names = [name for name in names if name in known]
    if not names:
        return
    if "none" in names:
        names = []
    inject = [known[name] for name in names if known[name]]
    put(tracing, "inject", inject)
    put(tracing, "extract", _extracted(inject))
    put(tracing, "baggage", "baggage" in names)


def _extracted(inject: list[str]) -> list[str]:
    """OTel runs all propagators and a later one overwrites; here the first valid one wins: so the
    order turns round. Either B3 propagator reads both of its encodings, and so does "b3" here
    (specification context/api-propagators.md, "B3 Requirements")."""
    extract = ["w3c" if form == "w3c" else "b3" for form in reversed(inject)]
    return list(dict.fromkeys(extract))


def _methods(tracing: Raw, env: Environment) -> None:
    """Case-sensitive, and instead of the built-in list (HTTP semantic conventions)."""
    name = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"
    methods = [item.strip() for item in env.get(name).split(",") if item.strip()]
    wrong = [method for method in methods if not is_token(method)]
    if wrong:
        env.ignored(name, f"{wrong[0]!r} is not a method, the variable is ignored")
    elif methods:
        put(tracing, "known_methods", list(dict.fromkeys(methods)))


def _exemplars(metrics: Raw, env: Environment) -> None:
    known = {"trace_based": True, "always_on": True, "always_off": False}
    put(metrics, "exemplars", env.choice("OTEL_METRICS_EXEMPLAR_FILTER", known))


def _client(export: Raw, env: Environment) -> None:
    """How the collector is spoken to."""
    prefix = "OTEL_EXPORTER_OTLP_"
    put(export, "compression", env.choice(f"{prefix}COMPRESSION", {"none": "none", "gzip": "gzip"}))
    put(export, "timeout", env.millis(f"{prefix}TIMEOUT"))
    put(export, "timeout", env.millis("OTEL_BSP_EXPORT_TIMEOUT"))
    tls = table(export, "tls")
    put(tls, "ca", env.get(f"{prefix}CERTIFICATE") or None)
    if not tls.keys() & {"cert", "key"}:
        cert, key = env.get(f"{prefix}CLIENT_CERTIFICATE"), env.get(f"{prefix}CLIENT_KEY")
        if cert and key:
            tls["cert"], tls["key"] = cert, key
        elif cert or key:
            env.ignored(f"{prefix}CLIENT_KEY", "key and certificate come together, ignored")
    headers = table(export, "headers")
    said = {name.lower() for name in headers}
    for name, value in (env.pairs(f"{prefix}HEADERS") or {}).items():
        if not is_token(name) or not is_field_value(value):
            env.ignored(f"{prefix}HEADERS", f"{name!r} is not a header that can be sent, ignored")
        elif name.lower() not in said:
            headers[name] = value


def _batching(export: Raw, env: Environment) -> None:
    put(export, "batch_age", env.millis("OTEL_BSP_SCHEDULE_DELAY"))
    items = env.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
    put(export, "batch_items", items or None)
    put(export, "metrics_interval", env.millis("OTEL_METRIC_EXPORT_INTERVAL"))
    if env.get("OTEL_BSP_MAX_QUEUE_SIZE"):
        remedy = "set export.queue_bytes"
        env.ignored("OTEL_BSP_MAX_QUEUE_SIZE", "the queue is bounded in bytes, ignored", remedy)
