"""The configuration in force as it may be shown: the secrets are gone, the units are back.

Hidden is what came from a file (`${file:…}`), and what `secrets.py` says. A string that came from
the environment is shown as it is written, `${NAME}`, since nobody knows which of those are secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from proxy.config.expand import KEY, Expanded
from proxy.config.loaded import Loaded
from proxy.config.locate import Path
from proxy.config.model import Config, Route
from proxy.config.secrets import REDACTED, is_secret, without_secrets
from proxy.config.units import Seconds, Size, seconds_text, size_text


def redacted(loaded: Loaded) -> dict[str, Any]:
    """Every key of the model with its value, in types that JSON knows, durations as "2s"."""
    shown = _shown(loaded.config, (), loaded.expanded)
    assert isinstance(shown, dict)
    return shown


def shown(loaded: Loaded) -> Mapping[str, Any]:
    """The same, computed while it is read: routes are an iterator, upstreams one by one."""
    config, expanded = loaded.config, loaded.expanded

    def part(name: str, _: object) -> object:
        value = getattr(config, name)
        if isinstance(value, list):
            return (_shown(item, (name, i), expanded) for i, item in enumerate(value))
        if isinstance(value, dict):
            keys = {_text(str(key), expanded.get((name, KEY, key))): key for key in value}
            return Computed(keys, lambda _, key: _shown(value[key], (name, key), expanded))
        return _shown(value, (name,), expanded)

    return Computed(dict.fromkeys(config.__struct_fields__), part)


def shown_config(loaded: Loaded) -> Config:
    """The configuration with every string as it may be shown; for words about it, not for use."""
    config = _veiled(loaded.config, (), loaded.expanded)
    assert isinstance(config, Config)
    return config


def shown_route(loaded: Loaded, index: int) -> Route:
    """The same of one route."""
    route = _veiled(loaded.config.route[index], ("route", index), loaded.expanded)
    assert isinstance(route, Route)
    return route


def made_from(loaded: Loaded, text: str, *path: str | int) -> str:
    """`text`, which was made from what stands at `path`: hidden if any of that came from a file."""
    found = loaded.expanded.items()
    hidden = any(origin.secret and place[: len(path)] == path for place, origin in found)
    return REDACTED if hidden else text


class Computed(Mapping[str, Any]):
    """The keys of `source`; a value is `compute(key, source[key])`, each time it is asked for."""

    __slots__ = ("_compute", "_source")

    def __init__(self, source: Mapping[str, Any], compute: Callable[[str, Any], object]) -> None:
        self._source = source
        self._compute = compute

    def __getitem__(self, key: str) -> Any:
        return self._compute(key, self._source[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._source)

    def __len__(self) -> int:
        return len(self._source)


def _shown(value: object, path: Path, expanded: Mapping[Path, Expanded]) -> object:
    if isinstance(value, msgspec.Struct):
        return {
            name: _shown(getattr(value, name), (*path, name), expanded)
            for name in value.__struct_fields__
        }
    if isinstance(value, dict):
        return {
            _text(str(key), expanded.get((*path, KEY, key))): _shown(item, (*path, key), expanded)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_shown(item, (*path, i), expanded) for i, item in enumerate(value)]
    return _leaf(value, path, expanded.get(path))


def _veiled(value: object, path: Path, expanded: Mapping[Path, Expanded]) -> object:
    """`value` in its own type, its strings as they may be shown."""
    if isinstance(value, msgspec.Struct):
        fields = value.__struct_fields__
        new = {name: _veiled(getattr(value, name), (*path, name), expanded) for name in fields}
        return msgspec.structs.replace(value, **new)
    if isinstance(value, dict):
        return {
            _text(str(key), expanded.get((*path, KEY, key))): _veiled(item, (*path, key), expanded)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_veiled(item, (*path, i), expanded) for i, item in enumerate(value)]
    return _leaf(value, path, expanded.get(path)) if isinstance(value, str) else value


def _leaf(value: object, path: Path, origin: Expanded | None) -> object:
    if isinstance(value, Seconds):
        return seconds_text(value)
    if isinstance(value, Size):
        return size_text(value)
    if not isinstance(value, str):
        return value
    if value and is_secret(path):
        return REDACTED
    return _text(value, origin)


def _text(text: str, origin: Expanded | None) -> str:
    if origin is not None:
        if origin.secret:
            return REDACTED
        text = origin.written
    return without_secrets(text)
