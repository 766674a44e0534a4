"""Ticket keys: what lets a client resume at one worker a session that it began at another.

The hub makes them and all workers have them. They are changed once a day; those before are still
taken for as long again, so that a change costs nobody a handshake, and what is sealed anew is
sealed with the new ones. A ticket lives two hours (OpenSSL's default), so that nobody who comes
back with a good one finds its keys gone.

OpenSSL knows one set of keys for a context and no other (`SSL_CTX_set_tlsext_ticket_keys`; its
callback for several would enter Python in each handshake). A ticket begins with the name of its
keys, in plain text, so that a client's first bytes say which ones it needs: for one step of its
handshake the context then has the earlier ones.
"""

from __future__ import annotations

SIZE = 80  # bytes: name 16, HMAC 32, AES-256 32 (OpenSSL, tlsext_ticket_key_evp_cb)
NAME = 16  # bytes of them
ROTATION = 86400.0  # seconds until the next ones


class TicketKeys:
    """Those of one gateway; times are monotonic seconds, `fresh` is SIZE random bytes."""

    __slots__ = ("_since", "current", "earlier")

    def __init__(self, fresh: bytes, now: float) -> None:
        self.current = fresh
        self.earlier = fresh  # there are none yet
        self._since = now

    def is_due(self, now: float) -> bool:
        """Whether they should be renewed."""
        return now - self._since >= ROTATION

    def renew(self, fresh: bytes, now: float) -> None:
        """From now on tickets are sealed with `fresh`; what was before the last ones is gone."""
        self.current, self.earlier = fresh, self.current
        self._since = now


def secrets(keys: TicketKeys, keylog: str = "") -> bytes:
    """What a SECRETS frame carries; `keylog`: the file that the keys of connections are written
    into, for a debugger of packets, "" = none."""
    return keys.current + keys.earlier + keylog.encode("utf-8", "surrogateescape")


def read_secrets(payload: bytes) -> tuple[bytes, bytes, str]:
    """The same, taken apart: current, earlier (b"" = none), keylog."""
    current, earlier = payload[:SIZE], payload[SIZE : 2 * SIZE]
    keylog = payload[2 * SIZE :].decode("utf-8", "surrogateescape")
    return current, b"" if earlier == current else earlier, keylog
