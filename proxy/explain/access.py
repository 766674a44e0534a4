"""Who may come in by one route, in words, and what is decided as far as it is plain to see.

No key, token or password is judged here: whoever reads the lines must not learn whether one is
good, and the command has none of the files that only the gateway may read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proxy.access.addresses import Ranges
from proxy.config.check_access import kind_of
from proxy.config.mesh_identity import listeners_of
from proxy.config.model import Auth, AuthUse, Config, Route
from proxy.http.head import RequestHead

_SECRETS = ("jwt", "api_key", "basic")


def access(config: Config, shown: Route, head: RequestHead, of_address: str) -> Iterator[str]:
    """A line for each thing that is asked, in its order; `of_address`: what is so of the client's,
    as `judged` says."""
    yield from _addresses(shown, of_address)
    yield from _mesh(config, shown)
    if shown.cors is not None:
        yield from _cors(shown, head)
    use = config.defaults.auth if shown.auth is None else shown.auth
    if use is None or not use.names:
        if config.auth:
            by = "defaults say nothing" if use is None else 'auth = "none"'
            yield f"no check: {by}"
        return
    yield from _checks(config, use, head)


def refuses(route: Route, client: str | None) -> str:
    """Why an address may not come in; "" if it may."""
    if client is None:
        return ""
    called = f"address {client}" if client else "a Unix socket"
    if route.deny and Ranges(route.deny).holds(client):
        return f"{called} is in `deny`"
    if route.allow and not Ranges(route.allow).holds(client):
        return f"{called} is not in `allow`"
    return ""


def judged(route: Route, client: str | None) -> tuple[bool, str]:
    """Whether an address may come in, and that in words. "" = a Unix socket; None = it is not
    said whose."""
    why = refuses(route, client)
    if why or client is None:
        return not why, why
    return True, f"address {client} may come in" if client else "a Unix socket may come in"


def _addresses(route: Route, of_address: str) -> Iterator[str]:
    if route.deny:
        yield f"deny {_listed(route.deny)}: 403"
    if route.allow:
        yield f"allow {_listed(route.allow)}, all others 403"
    if (route.deny or route.allow) and of_address:
        yield of_address


def _mesh(config: Config, route: Route) -> Iterator[str]:
    if config.mesh is None or not config.mesh.allow:
        return
    names = [listener.name for listener in listeners_of(config)]
    if route.when.listener in ("", *names):
        whom = _listed(list(dict.fromkeys(rule.source for rule in config.mesh.allow)))
        yield f"within the mesh by `allow`, as the caller's certificate says ({whom}): 403 if not"


def _cors(route: Route, head: RequestHead) -> Iterator[str]:
    assert route.cors is not None
    yield f"pages of {_listed(route.cors.origins)} may read answers"
    asks = head.method == "OPTIONS" and head.get(b"origin") is not None
    if asks and head.get(b"access-control-request-method") is not None:
        yield "this is a preflight: it is answered here, before any check"


def _checks(config: Config, use: AuthUse, head: RequestHead) -> Iterator[str]:
    for names, how in ((use.all, "all of"), (use.any, "one of")):
        if names:
            told = [f"{name} ({kind_of(config.auth[name])})" for name in names]
            yield (f"{how} " if len(names) > 1 else "") + ", ".join(told)
            for name in names:
                yield f"  {name}: {_seen(config.auth[name], head)}"
    if use.scopes:
        yield f"scopes {', '.join(use.scopes)}, otherwise 403"
    if use.claims:
        yield f"claims {', '.join(use.claims)} as the file says, otherwise 403"


def _seen(check: Auth, head: RequestHead) -> str:
    """What the request shows to a check."""
    kind = kind_of(check)
    if kind in _SECRETS:
        places = list(_places(check))
        place = next((place for place in places if _shows(head, place)), "")
        if not place:
            return f"401, nothing in {' or '.join(places)}"
        return f"decided by what is in {place}, which is not judged here"
    if check.forward is not None:
        return f"decided by {check.forward.to}"
    if check.mtls is not None:
        wanted = [*check.mtls.identities, *check.mtls.subjects]
        return f"decided by the client's certificate: {_listed(wanted) if wanted else 'any'}"
    assert check.oidc is not None
    if _shows(head, f"cookie:{check.oidc.cookie}"):
        return "decided by its cookie, which is not judged here"
    return f"no session: browsers are sent to {check.oidc.issuer}, others get 401"


def _places(check: Auth) -> Iterator[str]:
    if check.jwt is not None:
        yield from check.jwt.places
    elif check.api_key is not None:
        yield from check.api_key.places
    else:
        yield "header:authorization"


def _shows(head: RequestHead, place: str) -> bool:
    """Whether there is something at a place such as "cookie:token"."""
    kind, _, name = place.partition(":")
    if kind == "query":
        return any(part.partition("=")[0] == name for part in head.query.split("&"))
    if kind == "cookie":
        cookies = (head.get(b"cookie") or b"").split(b";")
        return any(c.partition(b"=")[0].strip() == name.encode() for c in cookies)
    return head.get((name or "authorization").lower().encode()) is not None


def _listed(items: Sequence[str]) -> str:
    """A few of them, and how many more there are."""
    some, more = items[:5], len(items) - 5
    return ", ".join(some) + (f" and {more} more" if more > 0 else "")
