"""Startup: what it is that could not be had when a component started, by its key in the file.

Libraries say "Address already in use" or "No such file", and not whose: a component has several
addresses, and files that it reads only when it starts. So what the settings name is tried once
more, each by itself, and the first that fails is the culprit. Only after a failure: a start that
goes well costs nothing.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from proxy.config.syntax import parse_address
from proxy.errors import Problem, cannot_listen
from proxy.web.probe import probe

_LISTENING = ("endpoint", "grpc", "http", "thrift_http", "thrift_compact", "thrift_binary")
_DATAGRAMS = ("thrift_compact", "thrift_binary")
_FILES = ("ca", "cert", "key", "client_ca")

_REMEDIES = {
    errno.ENOENT: "make it, or name one that is there",
    errno.EACCES: "let the user that runs this have it (`chown`, `chmod`), or name another",
    errno.EPERM: "let the user that runs this have it (`chown`, `chmod`), or name another",
    errno.ENOTDIR: "it, or a folder above it, is a file: name a folder",
    errno.EEXIST: "it is a file: name a folder",
    errno.EISDIR: "it is a folder: name a file",
    errno.EROFS: "this file system is read-only: name a place that can be written",
    errno.ENOSPC: "the disk is full: make room, or name another",
    errno.EDQUOT: "the quota is used up: make room, or name another",
    errno.ENAMETOOLONG: "shorten it",
    errno.ELOOP: "its links lead in a circle",
}


def file_trouble(key: str, path: object, error: OSError) -> Problem:
    """What is wrong with a file or folder that the settings name."""
    code = error.errno or 0
    why = os.strerror(code).lower() if code > 0 else str(error)
    return Problem(key, f"cannot use {path}: {why}", _REMEDIES.get(code, "name another"))


def unwritable(path: Path) -> OSError | None:
    """Why a file cannot be written there, as far as that can be seen without doing it."""
    if path.is_dir():
        return IsADirectoryError(errno.EISDIR, "")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return PermissionError(errno.EACCES, "")
    return None


def diagnose(settings: Any, error: OSError, *, server: bool) -> Problem:
    """With the key below the component's table; `server`: it listens on its addresses."""
    for key, path in _files(settings):
        if (trouble := _unreadable(path)) is not None:
            return file_trouble(key, path, trouble)
    if isinstance(error, ssl.SSLError):
        remedy = "PEM files, of which the key belongs to the certificate and has no passphrase"
        return Problem("tls", f"these files are of no use: {error}", remedy)
    for key, address in _addresses(settings) if server else ():
        kind = socket.SOCK_DGRAM if key in _DATAGRAMS else socket.SOCK_STREAM
        if (trouble := _taken(address, kind)) is not None:
            return Problem(key, *cannot_listen(address, trouble, key))
    return Problem("", str(error))


def _files(settings: Any) -> Iterator[tuple[str, str]]:
    """Those of TLS, read when it starts."""
    tls = getattr(settings, "tls", None)
    for name in _FILES:
        if path := getattr(tls, name, ""):
            yield f"tls.{name}", path


def _unreadable(path: str) -> OSError | None:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        return error
    return None


def _addresses(settings: Any) -> Iterator[tuple[str, str]]:
    for name in _LISTENING:
        if text := getattr(settings, name, ""):
            yield name, text
    sampling = getattr(settings, "remote_sampling", None)
    if isinstance(sampling, msgspec.Struct):
        yield "remote_sampling.endpoint", str(getattr(sampling, "endpoint", ""))


def _taken(address: str, kind: socket.SocketKind) -> OSError | None:
    """Why nothing can listen there."""
    try:
        host, port = parse_address(address)
    except ValueError:
        return None
    return probe(host, port, kind) if port else None
