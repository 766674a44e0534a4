"""Where a request shows its key or token: `in = ["header:x-api-key", "query:key"]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proxy.config.model import Config


def place(text: str) -> tuple[str, str]:
    """(kind, name) of "header:x-api-key"; ("bearer", "") of "bearer". Not judged."""
    kind, _, name = text.partition(":")
    return kind, name


def named(places: Sequence[str], kind: str) -> list[str]:
    """The names of those places that are of that kind."""
    return [name for found, name in map(place, places) if found == kind]


def secret_queries(config: Config) -> Iterator[str]:
    """Parameters that hold secrets by what the checks of the file say: nobody may see their
    values, whatever `redact_query` lists."""
    for auth in config.auth.values():
        for said in (auth.jwt, auth.api_key):
            if said is not None:
                yield from named(said.places, "query")
