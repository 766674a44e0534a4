"""A small HTTP server that strangers cannot use up: `server.py`, and one connection of it."""

from proxy.web.connection import Front, Guards, Line
from proxy.web.crowd import BACKLOG, BACKLOG_SHARE, SHARE
from proxy.web.requests import coding, reader
from proxy.web.server import GuardedServer, Handler

__all__ = [
    "BACKLOG", "BACKLOG_SHARE", "SHARE", "Front", "GuardedServer", "Guards", "Handler", "Line",
    "coding", "reader",
]  # fmt: skip
