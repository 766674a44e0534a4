"""Why an upstream's head was refused, in words fit for spans and logs.

llhttp names the fault and not the place. The place is found here, once it is certain that there is
a fault; values of fields are not shown, they may be secrets, and names are shown escaped.
"""

from __future__ import annotations

import re

from proxy.errors import BadResponse

_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_SHOWN = 40  # bytes of a malformed line's name in an error


def malformed_answer(data: bytes, error: Exception) -> BadResponse:
    """Why, and in which line, of which no value is shown: it may be a secret."""
    if "CONNECT/Upgrade" in str(error):
        return BadResponse("the upstream switched protocols (101) without saying to which")
    where = ""
    for number, line in enumerate(data.removesuffix(b"\r\n\r\n").split(b"\r\n"), 1):
        if number > 1 and _FIELD.fullmatch(line) is None:
            where = f", in line {number}"
            name, colon, _ = line.partition(b":")
            if line[:1] in (b" ", b"\t"):
                where += ", which is folded"  # it is the rest of a value
            elif colon:
                where += f", {name[:_SHOWN].decode('latin-1')!a}"
            break
    return BadResponse(f"the upstream's head is malformed: {error}{where}")
