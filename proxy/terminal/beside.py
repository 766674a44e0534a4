"""The sidecar that runs beside a command: what its admin port says of how traffic gets to it.

Asked once, before the command begins; nothing here is asked again, and nobody else is asked.
"""

from __future__ import annotations

from proxy.terminal.client import Gateway, Trouble

PATH = "/mesh/redirect"  # which costs the sidecar nothing; all of /mesh would


def how_redirected(sidecar: Gateway, outbound: int) -> str | None:
    """`mesh.redirect` of the running sidecar with that port `outbound`. None: nobody answers
    there, or not such a sidecar."""
    try:
        said = sidecar.get(PATH)
    except Trouble:
        return None
    if not isinstance(said, dict) or said.get("mesh") is not True:
        return None
    how, address = said.get("redirect"), said.get("outbound")
    if not isinstance(how, str) or not isinstance(address, str):
        return None
    return how if address.endswith(f":{outbound}") else None
