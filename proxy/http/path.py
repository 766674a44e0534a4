"""The path of a request, normalised once: the one string matched, forwarded, logged and traced.

Owns RFC 3986 §6.2.2 (case and percent-encoding) and §5.2.4 (dot segments), and what is refused
because servers read it in different ways: nearly every path-confusion advisory of the last years
is a decision made on another string than the one that was sent on. It must not know routes.

Rules, in this order:
- not beginning with "/", outside visible ASCII, or with a backslash, "#" or "?": refused
- %00 to %1F, %7F and %5C: refused; other encodings in upper case, unreserved ones decoded (once:
  %252E stays as it is); characters that RFC 3986 does not allow in a path become encodings
- "//" is merged, then "." and ".." are resolved; ".." above the root is refused, as in nginx
- a dot segment hidden behind a parameter or an encoded slash ("/..;/", "/..%2F") is refused,
  since some servers resolve it and others do not
- %2F stays: it is data to one server and a separator to another, so each route decides
"""

from __future__ import annotations

import re
from urllib.parse import quote

from proxy.errors import BadRequest
from proxy.kernel.tokens import is_ordinary

_foreign = re.compile(r"[^\x21-\x7e]|[\\#?]").search
_hidden_dots = re.compile(r"(?:^|%2F)\.{1,2}(?:$|;|%3B|%2F)").search

_ASCII = "".join(map(chr, range(0x80)))

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_TO_ENCODE = {ord(c): f"%{ord(c):02X}" for c in '"<>^`{|}'}
_REFUSED = frozenset(range(0x20)) | {0x7F, 0x5C}


def _escapes() -> dict[str, str]:
    """Two hexadecimal digits in any case -> what stands for them in a normalised path."""
    table: dict[str, str] = {}
    for code in range(256):
        upper = f"{code:02X}"
        value = chr(code) if chr(code) in _UNRESERVED else "%" + upper
        if code in _REFUSED:
            value = ""
        for high in {upper[0], upper[0].lower()}:
            for low in {upper[1], upper[1].lower()}:
                table[high + low] = value
    return table


_ESCAPES = _escapes()


def normalise(path: str) -> str:
    """The normal form of a request target's path (no query); BadRequest if it has none.

    The result begins with "/", holds no dot segment and no "//", and is its own normal form.
    """
    if is_ordinary(path):
        return path
    return _normalise(path, False)


def renormalise(path: str) -> str:
    """The same for a path that was put together from normalised parts.

    Parts without dot segments that yield one were cut apart by a rewrite (Traefik
    GHSA-xf64-8mw2-4gr2), so here it is refused and not resolved.
    """
    if is_ordinary(path):
        return path
    return _normalise(path, True)


def decode_slashes(path: str) -> str:
    """`path`, normalised before, with %2F decoded and normalised again; BadRequest as there.

    The result may belong to another route: whoever decodes because a route says so has to match
    again, or the decision was made on another path than the one that is forwarded.
    """
    if "%2F" not in path:
        return path
    return _normalise(path.replace("%2F", "/"), False)


def decode_unreserved(text: str) -> str:
    """`text` with the encodings decoded that mean the same without (RFC 3986 §6.2.2.2), the rest
    in upper case; each "%" stands before two hexadecimal digits."""
    if "%" not in text:
        return text
    first, *rest = text.split("%")
    return first + "".join((_ESCAPES[p[:2]] or "%" + p[:2]) + p[2:] for p in rest)


def encode_utf8(raw: bytes) -> str:
    """A query with its letters beyond ASCII percent-encoded, as in "?q=café": no URI holds them,
    clients send them, and all readers of a query take both for the same. BadRequest for bytes that
    are not UTF-8, which readers would understand differently."""
    try:
        return quote(raw.decode("utf-8"), safe=_ASCII)
    except UnicodeDecodeError:
        raise BadRequest("the query is neither ASCII nor UTF-8") from None


def has_parameters(path: str) -> bool:
    """Whether a segment of a normalised path has a parameter, "/a;x", or what some read as one."""
    return ";" in path or "%3B" in path


def _normalise(path: str, made_here: bool) -> str:
    if not path.startswith("/"):
        raise BadRequest("the path does not begin with a slash")
    if _foreign(path) is not None:
        raise BadRequest("the path holds a character that is not allowed")
    text = _decode(path.translate(_TO_ENCODE))
    return _resolve(text.split("/"), made_here)


def _decode(path: str) -> str:
    first, *rest = path.split("%")
    if not rest:
        return path
    parts = [first]
    for piece in rest:
        value = _ESCAPES.get(piece[:2])
        if value is None:
            raise BadRequest("the path holds a bad percent-encoding")
        if not value:
            raise BadRequest("the path encodes a control character or a backslash")
        parts.append(value)
        parts.append(piece[2:])
    return "".join(parts)


def _resolve(segments: list[str], made_here: bool) -> str:
    """The path of `segments`, the first of which is the empty one before the leading slash."""
    kept: list[str] = []
    for segment in segments:
        if segment in (".", ".."):
            if made_here:
                raise BadRequest("rewriting the path made a dot segment")
            if segment == "..":
                if not kept:
                    raise BadRequest("the path leads above the root")
                kept.pop()
        elif segment:
            if "." in segment and _hidden_dots(segment) is not None:
                raise BadRequest("the path hides a dot segment")
            kept.append(segment)
    if kept and segments[-1] in ("", ".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
