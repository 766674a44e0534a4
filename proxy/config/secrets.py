"""Which values of the file nobody is shown: by their place, their key, or their form.

Hidden is whatever is edited into requests or answers, since credentials of every kind travel
there under names that nobody can list; the user part of URLs, and whatever its key calls a secret.
"""

from __future__ import annotations

import re

from proxy.config.locate import Path

REDACTED = "REDACTED"

_SECRET_KEY = re.compile(
    r"authori[sz]ation|token|passw|passphrase|secret|api.?key|access.?key|[-_.]key$|cookie"
    r"|credential|session|signature|(?:^|[-_.])(?:auth|pwd|sig|jwt)(?:$|[-_.])",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^/?#@\s]*@")
_PARAMETER = re.compile(r"(?<=[?&])([^=&#\s]+)=([^&#\s]+)")
_EDITED = ("headers", "auth")  # tables whose every value is hidden, wherever they are
# of [auth.NAME]; a `secret` of `jwt` is the path of a file, or by mistake what should lie there
_OF_CHECKS = ("client_secret", "secret")


def is_secret(path: Path) -> bool:
    """Whether the value at this place of the model is hidden."""
    names = [step for step in path if isinstance(step, str)]
    if path[0] == "collector":
        names = names[3:]  # below collector.exporters.ID
        return is_edited(tuple(names)) or any(_SECRET_KEY.search(name) for name in names)
    if path[0] == "auth" or _is_access(path):
        return not _is_access(path)
    if path[-2:] == ("sticky", "cookie"):
        return False  # a name
    if path[-2:] == ("sticky", "key"):
        return True
    return is_edited(path) or _SECRET_KEY.search(names[-1]) is not None


def _is_access(path: Path) -> bool:
    """Whether it is said who may come in: names of checks, of scopes and of fields."""
    if path[0] == "auth":
        return path[-1] not in _OF_CHECKS
    of_route = path[2:3] if path[0] == "route" else path[1:2] if path[0] == "defaults" else ()
    return of_route in (("auth",), ("cors",))


def is_edited(path: Path) -> bool:
    """Whether the value is one that is put into a message: headers.request.set.x-team and such."""
    names = isinstance(path[-1], int) and path[-2] == "remove"
    return not names and any(step in _EDITED for step in path[:-1]) and not _is_access(path)


def without_secrets(text: str) -> str:
    """`text` without users and passwords of URLs, and without secret parameters of theirs."""
    if "://" not in text:
        return text
    return _PARAMETER.sub(_parameter, _USERINFO.sub(f"{REDACTED}@", text))


def _parameter(found: re.Match[str]) -> str:
    if "{" in found[2] or not _SECRET_KEY.search(found[1]):
        return found[0]  # {token} is a place to be filled
    return f"{found[1]}={REDACTED}"
