"""`spangate mesh`: what is typed, what is printed, which exit code. Its commands ask a running
sidecar, or have another program be redirected to one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from proxy.terminal.commands import AS_JSON, admin_option, asking, at

if TYPE_CHECKING:
    from proxy.config.mesh_model import Mesh
    from proxy.mesh.cgroups import Cgroup
    from proxy.terminal.client import Gateway


@click.group()
def mesh() -> None:
    """The mesh that this host is in."""


@mesh.command("run", context_settings={"allow_interspersed_args": False})
@click.option("--file", default="", help="Its [mesh]; without it, routes.toml if there is one.")
@click.option("--user", help="Whom COMMAND runs as; without it, who calls this.")
@click.option("--sidecar-user", help="Whom the sidecar runs as, if not as root.")
@admin_option(None, "The sidecar's admin port; without it, [admin] listen of its file.")
@click.argument("words", nargs=-1, required=True, metavar="[--] COMMAND [ARG]...")
def run(
    file: str,
    user: str | None,
    sidecar_user: str | None,
    url: str | None,
    words: tuple[str, ...],
) -> None:
    """Run COMMAND with what it connects to redirected to the sidecar, by eBPF.

    Nothing else on this host is redirected, nor what comes in to COMMAND. It gets the signals that
    this gets, and its exit code is this one's.
    """
    from proxy.mesh import command, people
    from proxy.mesh.commands import fail
    from proxy.mesh.ebpf import CannotLoad, redirected
    from proxy.mesh.given import excluded, mesh_of, warn_of_nobody
    from proxy.mesh.rules import Own
    from proxy.mesh.rules import redirect as made

    if not words[0]:
        raise click.UsageError("COMMAND is empty")
    found, listen = mesh_of(file)
    where = url or listen
    _demand_ebpf(found, at(where) if where else None)
    try:
        users = excluded(found)
        own = Own(None if sidecar_user is None else people.user_number(sidecar_user))
        wanted = made(found, own, users)
        become = None if user is None else people.becoming(user)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    try:
        with redirected(wanted, own.uid) as group:
            warn_of_nobody(wanted.outbound)
            _warn_of_a_barred(own.uid)
            _warn_of_the_same(own.uid, user)
            ended = command.run(words, lambda: _prepare(group, become))
    except CannotLoad as error:
        fail(error.problems)
    except OSError as error:  # such as that there may be no more processes
        raise click.ClickException(f"{words[0]}: {error.strerror or error}") from None
    command.end_as(ended)


@mesh.command("status")
@AS_JSON
@asking
def status(gateway: Gateway, as_json: bool) -> None:
    """Show who a running sidecar is, whom it trusts, and what it knows of its peers."""
    from proxy.terminal import mesh as page
    from proxy.terminal.screen import ending

    with ending():
        page.show(gateway, as_json=as_json)


def _prepare(group: Cgroup, become: Callable[[], None] | None) -> None:
    group.enter()
    if become is not None:
        become()


def _demand_ebpf(found: Mesh, sidecar: Gateway | None) -> None:
    """Of the sidecar: any other would not look where connections wanted to go. What runs is asked;
    what a file says is not certainly what the sidecar was started with, and only worth a warning.
    """
    from proxy.config.syntax import parse_address
    from proxy.terminal.beside import how_redirected

    remedy = 'write redirect = "ebpf" into [mesh] of its file'
    port = parse_address(found.outbound)[1]
    how = how_redirected(sidecar, port) if sidecar is not None else None
    where = sidecar.at.written if sidecar is not None else ""
    if how is not None and how != "ebpf":
        lost = "it would not see where the command's connections want to go"
        raise click.UsageError(
            f'the sidecar with the admin port {where} has mesh.redirect = "{how}": {lost}; {remedy}'
        )
    if how is None and found.redirect != "ebpf":
        nobody = f"no sidecar answers at {where}" if where else "there is no admin port to ask"
        lost = f'with mesh.redirect = "{found.redirect}", as here, it loses destinations'
        click.echo(f"warning: {nobody}; {lost}: {remedy}", err=True)


def _warn_of_the_same(uid: int | None, user: str | None) -> None:
    from proxy.mesh.people import user_number

    own = os.geteuid() if user is None else user_number(user)
    if uid == own:
        same = f"COMMAND runs as user {uid}, as the sidecar does: what it sends is not redirected"
        click.echo(f"warning: {same}; --user NAME runs it as another", err=True)


def _warn_of_a_barred(uid: int | None) -> None:
    from proxy.bpf import destination, forbidden

    place = destination.folder()
    if uid and place and (why := forbidden.barred(os.path.dirname(place), uid)):
        click.echo(f"warning: the sidecar cannot look destinations up: {why}", err=True)
