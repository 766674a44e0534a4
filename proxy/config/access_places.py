"""Where a request shows its credentials, and what is therefore never recorded as it came.

A check may say where: `in = ["header:x-api-key", "query:key"]`; of others it is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from proxy.config.attributes import parse_source
from proxy.config.model import Auth, Config, Route

# What an issuer sends a browser back with (RFC 6749 §4.1.2): who has both may log in as its user.
_OF_LOGINS = ("code", "state")


def place(text: str) -> tuple[str, str]:
    """(kind, name) of "header:x-api-key"; ("bearer", "") of "bearer". Not judged."""
    kind, _, name = text.partition(":")
    return kind, name


def named(places: Sequence[str], kind: str) -> list[str]:
    """The names of those places that are of that kind; without those that cannot be read."""
    return [name for found, name in map(place, filter(None, places)) if found == kind]


def secret_queries(config: Config) -> Iterator[str]:
    """Parameters that hold secrets by what the checks of the file say: nobody may see their
    values, whatever `redact_query` lists."""
    for auth in config.auth.values():
        for said in (auth.jwt, auth.api_key):
            if said is not None:
                yield from named(said.places, "query")
        if auth.oidc is not None:
            yield from _OF_LOGINS


def hidden_queries(config: Config, route: Route) -> set[str]:
    """Parameters that the upstream of a route does not see: a check of it looks for secrets in
    them, and does not `keep` them."""
    use = config.defaults.auth if route.auth is None else route.auth
    checks = [config.auth[name] for name in use.names] if use is not None else []
    said = [said for auth in checks for said in (auth.jwt, auth.api_key) if said is not None]
    return {name for one in said if not one.keep for name in named(one.places, "query")}


def secret_fields(config: Config) -> dict[str, str]:
    """Fields that hold credentials by what the checks of the file say, in lower case: the name of
    a check that reads them."""
    found: dict[str, str] = {}
    for name, auth in config.auth.items():
        for field in _fields(auth):
            found.setdefault(field.lower(), name)
    if "cookie" in found:
        found.setdefault("set-cookie", found["cookie"])
    return found


def secret_attributes(config: Config) -> dict[str, str]:
    """The same of `[attributes]`: keys whose value would be what a check reads."""
    fields = secret_fields(config)
    found: dict[str, str] = {}
    for key, text in config.attributes.items():
        try:
            kind, name = parse_source(text)
        except ValueError:
            continue  # which has been told
        if kind == "header" and name.lower() in fields:
            found[key] = fields[name.lower()]
        elif kind == "cookie" and (check := _whose(name, config.auth)):
            found[key] = check
    return found


def _fields(auth: Auth) -> Iterator[str]:
    for said in (auth.jwt, auth.api_key):
        if said is not None:
            yield from named(said.places, "header")
            if named(said.places, "cookie"):
                yield "cookie"
            if "bearer" in said.places:
                yield "authorization"
    if auth.basic is not None:
        yield "authorization"
    if auth.oidc is not None:
        yield "cookie"
    if auth.forward is not None:  # whoever is asked goes by these, or by what the answer depends on
        yield from ("authorization", "cookie", *named(auth.forward.cache_key, "header"))


def _whose(cookie: str, checks: Mapping[str, Auth]) -> str:
    """The check that reads that cookie; "" = none does."""
    for name, auth in checks.items():
        for said in (auth.jwt, auth.api_key):
            if said is not None and cookie in named(said.places, "cookie"):
                return name
        # The names of its logins begin like that of its session; over plain HTTP without a prefix.
        if auth.oidc is not None and _bare(cookie).startswith(_bare(auth.oidc.cookie)):
            return name
        if auth.forward is not None and cookie in named(auth.forward.cache_key, "cookie"):
            return name
    return ""


def _bare(cookie: str) -> str:
    return cookie.removeprefix("__Host-").removeprefix("__Secure-")
