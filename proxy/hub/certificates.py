"""Certificates and credentials in force: looked after, and replaced when their files change.

Their files are looked at once a second, and read when they have kept still for as long, since a
certificate and its key are two files that are seldom written at once. What is read is judged as at
the start, and goes to the workers as a configuration does: to all of them, or to none. Connections
that there are go on with what they began with; a key that was taken out lets no further request in.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time

import msgspec

from proxy.config.check_access import read_credentials
from proxy.config.check_tls import check_tls
from proxy.config.loaded import Loaded
from proxy.config.material import NONE, files
from proxy.config.report import Report
from proxy.errors import ConfigError
from proxy.hub.parts import Whole
from proxy.hub.reload import Services, bring_into_force, failed, succeeded
from proxy.hub.rollout import Refused
from proxy.hub.settled import Marks
from proxy.hub.snapshot import Generation, generation
from proxy.hub.watched import EVERY, Looks, marks

log = logging.getLogger("spangate")

MOST_TOLD = 8  # names in a line


class Certificates:
    """Those of one hub."""

    def __init__(self, hub: Whole, services: Services) -> None:
        self._hub = hub
        self._services = services
        self._known: Marks = {}  # as they were when they were read
        self._looks = Looks()
        self._loaded: Loaded | None = None  # what that was about
        self._told = b""  # what was said of a certificate that was made here

    async def watch(self) -> None:
        """For as long as the gateway runs."""
        while True:
            await asyncio.sleep(EVERY)
            await self.look()
            if self._hub.renew_secrets():
                self._loaded = None  # the next look reads all: what was made here has an end

    async def look(self) -> None:
        """Read the files if they have changed, and keep still."""
        loaded = self._hub.loaded
        if not loaded.material.is_secure and not loaded.material.credentials:
            return
        now = await asyncio.to_thread(_marks, loaded)
        if self._looks.still(now) and (loaded is not self._loaded or now != self._known):
            self._known, self._loaded = now, loaded
            async with self._hub.changing:
                if self._hub.loaded is loaded:
                    await self._renew(loaded)
            self._loaded = self._hub.loaded

    def tell(self, loaded: Loaded) -> None:
        """Say what was made here, once; nobody can look it up in a file."""
        made = loaded.material.self_signed
        if made is not None and made.mark != self._told:
            self._told = made.mark
            names = ", ".join(made.names[:MOST_TOLD]) + (", …" if made.names[MOST_TOLD:] else "")
            log.info(
                "self-signed certificate for %s; SHA-256 %s",
                names,
                made.fingerprint,
                extra={"key": "certificates.self_signed"},
            )

    async def _renew(self, loaded: Loaded) -> None:
        hub = self._hub
        try:
            read = await asyncio.to_thread(_read, loaded)
            if read.material == loaded.material:
                return
            hub.reloads.tried += 1
            new = await asyncio.to_thread(_generation, hub.reloads.tried, read)
            await bring_into_force(hub, new)
        except ConfigError as error:
            failed(hub, f"the {_what(loaded)} in force stay", *error.problems)
        except Refused as error:
            hub.reloads.refused += 1
            failed(hub, f"the {_what(loaded)} in force stay", error)
        else:
            succeeded(hub)
            if read.material.is_secure:
                await self._services.secure(hub.loaded)
            log.info(
                "%s reloaded: %s",
                _what(loaded),
                _why(loaded, read),
                extra={"key": "certificates.reloaded"},
            )


def _marks(loaded: Loaded) -> Marks:
    names = [*files(loaded.config), *loaded.material.credentials]
    return marks(names, os.path.dirname(loaded.file))


def _read(loaded: Loaded) -> Loaded:
    """The same configuration with what its files hold now; ConfigError if that is no use."""
    report = Report(loaded.file, loaded.lines)
    report.places.update(loaded.places)
    material = check_tls(loaded.config, report, loaded.material, loaded.given)
    told = Report(loaded.file, loaded.lines)  # its warnings are those of the start
    held = read_credentials(loaded.config, told) if loaded.material.credentials else {}
    told.settle()
    material = msgspec.structs.replace(material, pages=loaded.material.pages, credentials=held)
    for warning in report.settle():
        log.warning("%s", warning, extra={"key": "certificates.warning"})
    return dataclasses.replace(loaded, material=material or NONE)


def _what(loaded: Loaded) -> str:
    material = loaded.material
    kinds = {"certificates": material.is_secure, "credentials": bool(material.credentials)}
    return " and ".join(kind for kind, is_there in kinds.items() if is_there)


def _why(old: Loaded, new: Loaded) -> str:
    made = old.material.self_signed, new.material.self_signed
    return "their files had changed" if made[0] == made[1] else "one of them was about to expire"


def _generation(number: int, loaded: Loaded) -> Generation:
    return generation(number, loaded, time.time())
