"""How exchanges over HTTP/2 end badly, as our errors: what a code means, and whether it was done.

The table of RFC 9113 §7 and §8.7. What says that the request was not processed may be sent again,
whatever its method; all that comes after the answer's head is a truncated answer.
"""

from __future__ import annotations

from proxy.errors import (
    BadResponse,
    CalmAsked,
    NotProcessed,
    OlderRequired,
    StreamReset,
    Truncated,
    UpstreamError,
    UpstreamReset,
)
from proxy.http.h2 import ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED, REFUSED_STREAM, ErrorCode

GOING = "the upstream is going away (GOAWAY) and has not processed the request"
FEWER = "the upstream takes fewer exchanges at once than were about to begin"

_BY_CODE: dict[int, type[UpstreamError]] = {
    REFUSED_STREAM: NotProcessed,
    HTTP_1_1_REQUIRED: OlderRequired,
    ENHANCE_YOUR_CALM: CalmAsked,
}


def name_of(code: int) -> str:
    """The code as RFC 9113 spells it; numbers that nobody has assigned stay numbers."""
    try:
        return str(ErrorCode(code).name)
    except ValueError:
        return f"code {code}"


def reset_by_upstream(code: int, headed: bool) -> UpstreamError:
    """RST_STREAM with this code came; `headed`: after the answer's head."""
    why = f"the upstream reset the exchange ({name_of(code)})"
    error: UpstreamError
    if headed:
        error = Truncated(f"{why} before the end of its answer")
    else:
        error = _BY_CODE.get(code, StreamReset)(f"{why} before any answer")
    if isinstance(error, StreamReset | Truncated):
        error.code = code
    return error


def ended_by_us(code: int, headed: bool) -> UpstreamError:
    """The engine gave the stream up: GOAWAY leaves it out, or what came is malformed."""
    if code == REFUSED_STREAM:
        return NotProcessed(GOING)
    why = f"the upstream's answer is malformed ({name_of(code)})"
    return Truncated(why) if headed else BadResponse(why)


def connection_lost(why: str, goaway: int | None, headed: bool, unread: bool) -> UpstreamError:
    """The connection ended below the exchange. `goaway`: the code of one that came before;
    `unread`: certainly before the request was."""
    if goaway:
        why += f" ({name_of(goaway)})"
    if headed:
        return Truncated(f"{why} before the end of its answer")
    if goaway == ENHANCE_YOUR_CALM:
        return CalmAsked(f"{why} before any answer")
    error = UpstreamReset(f"{why} before any answer")
    error.unread = unread
    return error
