"""The JSON schema of the file, for editors: what the model says, and the short forms as well.

msgspec writes the schemas of single values (it cannot write defaults that have units, so tables
are walked here); `${…}` is allowed wherever a value is, and the model's comments become the
descriptions that an editor shows.
"""

from __future__ import annotations

import inspect
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from proxy.config import model, observe
from proxy.config.collector import components
from proxy.config.convert import forms_of, without_none
from proxy.config.described import about, comments_of
from proxy.config.units import Seconds, Share, Size, seconds_text, size_text

Schema = dict[str, Any]

_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
_STRING: Schema = {"type": "string"}
_STRINGS: Schema = {"type": "array", "items": _STRING}
_PORT: Schema = {"type": "integer", "minimum": 0, "maximum": 65535}
_POLICY: Schema = {"enum": list(get_args(get_type_hints(model.Balance)["policy"]))}
_UNITS: dict[Any, Schema] = {
    Seconds: {
        "anyOf": [
            {"type": "string", "pattern": r"^( *\d+(\.\d+)? *(us|ms|s|m|h|d))+ *$"},
            {"const": 0},
        ]
    },
    Size: {
        "anyOf": [
            {"type": "string", "pattern": r"^ *\d+(\.\d+)? *([KkMmGg][Ii]?)?[Bb] *$"},
            {"const": 0},
        ]
    },
    Share: {"type": "number", "minimum": 0, "maximum": 1},
}
# (table, key) -> what may be written there besides the long form; see shorthand.py.
_SHORT: dict[tuple[type, str], list[Schema]] = {
    (model.Config, "listen"): [
        _STRING,
        _PORT,
        {"$ref": "#/$defs/Listener"},
        {
            "type": "array",
            "items": {"anyOf": [_STRING, _PORT, {"$ref": "#/$defs/Listener"}]},
        },
    ],
    (model.Config, "route"): [{"$ref": "#/$defs/Route"}],
    (model.Listener, "address"): [_PORT],
    (model.Route, "redirect"): [_STRING],
    (model.Route, "respond"): [_STRING, {"type": "integer", "minimum": 100, "maximum": 599}],
    (model.Upstream, "health"): [_STRING],
    (observe.Export, "otlp"): [_STRING],
    (observe.Export, "traces"): [_STRING],
    (observe.Export, "metrics"): [_STRING],
    (observe.Export, "logs"): [_STRING],
    (model.Route, "host"): [_STRING],
    (model.Route, "to"): [_STRING],
    (model.When, "method"): [_STRING],
    (model.Upstream, "servers"): [_STRING, _STRINGS],
    (model.Upstream, "backup"): [_STRING, _STRINGS],
    (model.Upstream, "balance"): [_POLICY],
    (model.Upstream, "sticky"): [_STRING],
    (model.Route, "retry"): [{"type": "integer", "minimum": 0}],
    (model.Upstream, "retry"): [{"type": "integer", "minimum": 0}],
    (model.Defaults, "retry"): [{"type": "integer", "minimum": 0}],
    (model.Route, "compress"): [{"type": "boolean"}],
    (model.Route, "slo"): [{"const": False}],
    (model.Route, "rate"): [_STRING, {"$ref": "#/$defs/RateLimit"}],
    (model.Route, "auth"): [_STRING, _STRINGS],
    (model.Defaults, "auth"): [_STRING, _STRINGS],
    (model.AuthUse, "any"): [_STRING],
    (model.AuthUse, "all"): [_STRING],
    (model.AuthUse, "scopes"): [_STRING],
    (model.Route, "allow"): [_STRING],
    (model.Route, "deny"): [_STRING],
    (model.Route, "secure_headers"): [{"type": "boolean"}],
    **{(model.Cors, key): [_STRING] for key in ("origins", "methods", "headers", "expose")},
    (model.Errors, "maintenance"): [_STRING, {"type": "boolean"}],
    (model.Compress, "types"): [_STRING],
    (model.Compress, "codings"): [_STRING],
}


def schema() -> Schema:
    """A JSON Schema (draft 2020-12) of routes.toml."""
    tables: dict[str, Schema] = {}
    _table(model.Config, tables)
    top = tables.pop("Config")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Spangate routes.toml",
        **top,
        "$defs": tables,
    }


def default_of(field: Any) -> Any:
    """A field's default as the file would say it; None where there is none or it is a table."""
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    else:
        value = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else None
    if isinstance(value, Seconds):
        return seconds_text(value)
    if isinstance(value, Size):
        return size_text(value)
    if isinstance(value, list) and any(isinstance(item, msgspec.Struct) for item in value):
        return None
    return value if isinstance(value, bool | int | float | str | list) else None


def _table(table: Any, tables: dict[str, Schema]) -> Schema:
    """A reference to the schema of one table, which is made on the way."""
    name = _name(table)
    if name not in tables:
        made: Schema = {"type": "object", "additionalProperties": False}
        tables[name] = made
        fields = msgspec.structs.fields(table)
        comments = comments_of(table)
        made["description"] = inspect.cleandoc(table.__doc__ or "")
        made["properties"] = {f.encode_name: _field(table, f, comments, tables) for f in fields}
        made["required"] = [f.encode_name for f in fields if f.required]
    return {"$ref": f"#/$defs/{name}"}


def _name(table: Any) -> str:
    """Settings of components have names of their own, below that of their folder."""
    if table.__module__.startswith("proxy.config."):
        return str(table.__name__)
    place = table.__module__.removeprefix("proxy.collector.").removesuffix(".settings")
    return f"{place}.{table.__name__}"


def _components(kind: str, tables: dict[str, Schema]) -> Schema:
    """A table of components: the settings of each follow from the type in its id."""
    patterns = {}
    for component in components(kind):
        names = "|".join((component.type, *component.aliases))
        patterns[f"^({names})(/.+)?$"] = _table(component.settings(), tables)
    return {"type": "object", "additionalProperties": False, "patternProperties": patterns}


def _field(table: type, field: Any, comments: dict[str, str], tables: dict[str, Schema]) -> Schema:
    if table is observe.Collector and field.name != "pipelines":
        made = _components(field.name.removesuffix("s"), tables)
    else:
        made = _value(field.type, tables)
    if (table, field.name) == (model.Config, "upstream"):
        made["additionalProperties"] = {"anyOf": [_STRING, _STRINGS, made["additionalProperties"]]}
    if (table, field.name) in ((model.Errors, "pages"), (model.RouteErrors, "pages")):
        made["additionalProperties"] = {"anyOf": [_STRING, made["additionalProperties"]]}
    if short := _SHORT.get((table, field.name)):
        made = {"anyOf": [*short, made]}
    if text := comments.get(field.name) or about(field.name, field.type):
        made = {**made, "description": text}
    default = default_of(field)
    return made if default is None or default == [] else {**made, "default": default}


def _value(kind: Any, tables: dict[str, Schema]) -> Schema:
    kind = without_none(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _table(kind, tables)
    if get_origin(kind) is list:
        return {"type": "array", "items": _value(get_args(kind)[0], tables)}
    if get_origin(kind) is dict:
        name, item = get_args(kind)
        made: Schema = {"type": "object", "additionalProperties": _value(item, tables)}
        if pattern := _leaf(name).get("pattern"):
            made["propertyNames"] = {"pattern": pattern}
        return made
    if forms := forms_of(kind):
        return {"anyOf": [_value(form, tables) for form in forms]}
    leaf = _leaf(kind)
    return leaf if leaf == _STRING else {"anyOf": [leaf, _REFERENCE]}


def _leaf(kind: Any) -> Schema:
    try:
        made = msgspec.json.schema(kind, schema_hook=_UNITS.__getitem__)
    except TypeError:  # such as several tables of which one is meant
        return {}
    return {} if "$defs" in made else made
