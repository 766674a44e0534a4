"""`spangate key`, `password` and `cert`: what is typed, what is printed, which exit code.

A key is printed once, on stdout; a password is never printed, nor taken from the command line,
which other users of a machine can see.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proxy.credentials.keys_file import Listed

KEYS = click.option("--file", default="keys.toml", show_default=True, help="Where keys are.")


@click.group()
def key() -> None:
    """Make API keys, list them, remove them."""


@key.command()
@click.argument("name")
@KEYS
@click.option("--expires", default="", help='From when on it does not count: "90d", "12h".')
@click.option("--scope", "scopes", multiple=True, help="What it is for; may be given again.")
def add(name: str, file: str, expires: str, scopes: tuple[str, ...]) -> None:
    """Make a key for NAME and print it, this once: the file gets its hash alone.

    A name may have several keys, so that a new one is in use before the old one is removed.
    """
    from hashlib import sha256
    from secrets import randbelow

    from proxy.config import key_form
    from proxy.credentials import keys_file
    from proxy.credentials.replaced import held, replace, text_of

    _check(name, scopes)
    made = key_form.new(randbelow)
    digest = sha256(made.encode("ascii")).hexdigest()
    now = time.time()
    times = now, _end(expires, now)
    more = keys_file.entry(name, key_form.id_of(made), digest, times, scopes)
    try:
        with held(file):
            replace(file, keys_file.added(text_of(file), more))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{file}: {error}") from None
    click.echo(made)
    click.echo(f"its hash is in {file}; the key itself is nowhere else", err=True)


@key.command("list")
@KEYS
def list_(file: str) -> None:
    """List the keys of a file: id, name, state, when made, until when, scopes."""
    now = datetime.now(UTC)
    rows: list[tuple[str, ...]] = [("ID", "NAME", "STATE", "CREATED", "EXPIRES", "SCOPES")]
    for one in _listed(file):
        times = [_shown(one.values.get(at)) for at in ("created", "expires")]
        scopes = " ".join(map(str, one.values.get("scopes", ())))
        rows.append((one.id, one.name, one.state(now), *times, scopes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@key.command()
@click.argument("which", metavar="NAME|ID")
@KEYS
def remove(which: str, file: str) -> None:
    """Remove all keys of that name, or the one key of that id."""
    from proxy.credentials.keys_file import removed
    from proxy.credentials.replaced import held, replace, text_of

    try:
        with held(file):
            found = [one for one in _listed(file) if which in (one.name, one.id)]
            if found:
                replace(file, removed(text_of(file), found))
    except OSError as error:
        raise click.ClickException(f"{file}: {error}") from None
    if not found:
        raise click.ClickException(f"{file} has no key {which!r}")
    click.echo(f"removed {len(found)}: {' '.join(one.id for one in found)}")


@click.command()
@click.argument("name")
@click.option(
    "--file", default="users.htpasswd", show_default=True, help="Where names and hashes are."
)
@click.option("--bcrypt", "by_bcrypt", is_flag=True, help="bcrypt instead of Argon2id.")
def password(name: str, file: str, by_bcrypt: bool) -> None:
    """Ask for the password of NAME, and write its hash: in the place of the old one, if any.

    It is asked for twice on a terminal; otherwise it is the first line of stdin.
    """
    from proxy.config.access_basic import NAME
    from proxy.credentials.passwords import hashed, with_line
    from proxy.credentials.replaced import held, replace, text_of

    if NAME.fullmatch(name) is None or len(name.encode()) > 255 or name[:1] in ("#", " "):
        raise click.UsageError(f"{name!r} cannot be a name: no colon, no control characters")
    try:
        made = hashed(_asked(name), by_bcrypt)
        with held(file):
            text, was_there = with_line(text_of(file), name, made)
            replace(file, text)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{'changed' if was_there else 'added'} {name} in {file}")


def _asked(name: str) -> str:
    if sys.stdin.isatty():
        said: str = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True)
        return said
    return sys.stdin.readline().rstrip("\r\n")


def _check(name: str, scopes: Sequence[str]) -> None:
    from proxy.config.access_keys import NAME, SCOPE

    if NAME.fullmatch(name) is None:
        raise click.UsageError(f"{name!r} cannot be a name: ASCII, no space, 128 at most")
    for scope in scopes:
        if SCOPE.fullmatch(scope) is None:
            raise click.UsageError(f"{scope!r} is no scope")


def _end(expires: str, now: float) -> float:
    from proxy.config.units import Seconds

    if not expires:
        return 0.0
    try:
        seconds = Seconds.parse(expires)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not 0 < seconds <= 100 * 365 * 86400:
        raise click.UsageError(f"--expires {expires}: it would never count, or for ever")
    return now + seconds


def _listed(file: str) -> list[Listed]:
    from proxy.credentials.keys_file import listed
    from proxy.credentials.replaced import text_of

    try:
        open(file, "rb").close()
        return list(listed(text_of(file)))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{file}: {error}") from None


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return "-" if value is None else str(value)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--dir", "folder", default="certs", show_default=True, help="Where the files go.")
def cert(names: tuple[str, ...], folder: str) -> None:
    """Make a certificate for development, by an authority of your own.

    Each NAME is a host name, an address or a URI; without any, localhost. The authority is made at
    the first time.
    """
    from proxy.config import local_ca

    try:
        made = local_ca.make(folder, names or local_ca.NAMES)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if made.is_new_ca:
        click.echo(f"made {made.ca}: have clients trust it (curl --cacert {made.ca})")
    click.echo(f"made {made.cert} and {made.key}, for {', '.join(names or local_ca.NAMES)}")
    click.echo("write in routes.toml:\n")
    click.echo("[[listen]]")
    click.echo('address = ":8443"')
    click.echo(f'tls = {{ cert = "{made.cert}", key = "{made.key}" }}')
