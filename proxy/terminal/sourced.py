"""What commands that read a file say of its sources, which only a running gateway asks.

Files of `[source.file]` lie beside it, so they are read as the gateway would read them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from proxy.config.load import Loaded, loads
from proxy.config.source_model import Sources
from proxy.errors import ConfigError, Problem
from proxy.terminal.client import Gateway, Trouble, address

TOKEN = "SPANGATE_ADMIN_TOKEN"


def with_files(loaded: Loaded, environ: Mapping[str, str]) -> Loaded:
    """With what further files say; ConfigError for what is wrong in them."""
    settings = loaded.config.source.file
    if settings is None:
        return loaded
    from proxy.sources.files import once

    folder = os.path.dirname(os.path.abspath(loaded.file))
    given = once(settings.path, folder)
    if given.left_out:
        raise ConfigError([_problem(line) for line in given.left_out])
    return loads(loaded.text, loaded.file, environ, given={"file": given})


def unasked(loaded: Loaded) -> list[str]:
    """The names of sources that this process does not ask."""
    names = (n for n in Sources.__struct_fields__ if getattr(loaded.config.source, n) is not None)
    return [name for name in names if name != "file"]


def note(loaded: Loaded) -> list[str]:
    """A line about them, if there are any."""
    if not (names := unasked(loaded)):
        return []
    said = " and ".join(f"[source.{name}]" for name in names)
    told = "only a running gateway asks it, and tells what became of it on /config"
    return [f"{said}: what it gives is not in here; {told}"]


def explained(
    loaded: Loaded, method: str, url: str, headers: Sequence[str]
) -> tuple[bool, list[str]]:
    """What the running gateway explains; Trouble if there is none, or it does not tell."""
    admin = loaded.config.admin
    if not admin.listen:
        raise Trouble("[admin] listen is empty")
    gateway = Gateway(address(admin.listen), admin.token or os.environ.get(TOKEN, ""))
    pairs = [("method", method), ("url", url), *(("header", header) for header in headers)]
    answer = gateway.get(f"/api/explain?{urlencode(pairs)}")
    if not isinstance(answer, dict) or not isinstance(lines := answer.get("lines"), list):
        raise Trouble(f"{admin.listen} explains nothing")
    told = f"sources    by the gateway that runs, on {admin.listen}"
    return bool(answer.get("taken")), [*map(str, lines), told]


def there(
    loaded: Loaded, method: str, url: str, headers: Sequence[str]
) -> tuple[bool | None, list[str]]:
    """What the running gateway explains, where only it asks sources; None = by the file, with
    these lines more."""
    if not unasked(loaded):
        return None, []
    try:
        return explained(loaded, method, url, headers)
    except (Trouble, ValueError) as error:
        return None, [f"sources    {line}" for line in [*note(loaded), str(error)]]


def _problem(left_out: str) -> Problem:
    place, _, why = left_out.partition(": ")
    return Problem("file", why, "", 0, place)
