"""`spangate redirect`: what is typed, what is printed, which exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from proxy.mesh.rules import Redirect

HOW = click.Choice(["nft", "iptables", "tproxy", "ebpf"])


@click.group()
def redirect() -> None:
    """Have an application's connections go through its sidecar, by rules in the kernel.

    They are made in the network namespace that this runs in.
    """


_FILE = click.argument("file", default="")
_BY = click.option("--by", type=HOW, help="In place of mesh.redirect.")
_USER = click.option("--user", help="Whom the sidecar runs as; without it, who calls this.")
_GROUP = click.option("--group", help="The same for its group; without it, no group is left alone.")


@redirect.command()
@_FILE
@_BY
@_USER
@_GROUP
def install(file: str, by: str | None, user: str | None, group: str | None) -> None:
    """Make the rules that FILE (routes.toml) asks for, in place of those that are there."""
    from proxy.mesh.given import warn_of_nobody
    from proxy.mesh.install import CannotRedirect
    from proxy.mesh.install import install as made

    wanted = _wanted(file, by, user, group)
    if wanted.how == "ebpf":
        raise click.UsageError("eBPF has no rules to install: spangate mesh run -- COMMAND")
    try:
        made(wanted)
    except CannotRedirect as error:
        fail(error.problems)
    _warn_of_root(wanted, user)
    warn_of_nobody(wanted.inbound, wanted.outbound)
    click.echo(f"redirected by {wanted.how}: in to :{wanted.inbound}, out to :{wanted.outbound}")


@redirect.command()
@click.argument("file", default="")
def remove(file: str) -> None:
    """Remove all rules that `install` has made, also after a crash, and whatever FILE says."""
    from proxy.mesh import ebpf
    from proxy.mesh.install import CannotRedirect
    from proxy.mesh.install import remove as removed

    problems: list[str] = []
    try:
        gone = removed()
    except CannotRedirect as error:
        gone, problems = error.removed, error.problems
    left = ebpf.remove()
    for what in (*gone, *left.removed):
        click.echo(f"removed: {what}")
    if running := left.running:
        many = "1 command is" if running == 1 else f"{running} commands are"
        click.echo(f"{many} still redirected by spangate mesh run, for as long as it runs")
    if problems := [*problems, *left.problems]:
        fail(problems)
    if not (gone or left.removed or running):
        click.echo("nothing to remove: there are no rules of spangate's here")


@redirect.command()
@_FILE
@_BY
@_USER
@_GROUP
def check(file: str, by: str | None, user: str | None, group: str | None) -> None:
    """Tell what is missing of the rules, and why; exit code 1 if anything is."""
    from proxy.mesh import ebpf
    from proxy.mesh.install import CannotRedirect, lacking

    wanted = _wanted(file, by, user, group)
    try:
        missing = ebpf.absent() if wanted.how == "ebpf" else lacking(wanted)
    except CannotRedirect as error:
        missing = error.problems
    if user is None and group is None and any("no rule for user" in line for line in missing):
        missing.append("check wants the --user and --group of `spangate redirect install`")
    if missing:
        fail(missing)
    click.echo(f"ok: redirected by {wanted.how}")


def fail(problems: Iterable[str]) -> NoReturn:
    """Say what could not be done."""
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1)


def _wanted(file: str, by: str | None, user: str | None, group: str | None) -> Redirect:
    import msgspec

    from proxy.mesh.given import excluded, mesh_of
    from proxy.mesh.people import group_number, user_number
    from proxy.mesh.rules import Own
    from proxy.mesh.rules import redirect as made

    mesh, admin = mesh_of(file)
    if by:
        mesh = msgspec.structs.replace(mesh, redirect=by)
    if mesh.redirect == "none":
        raise click.UsageError('mesh.redirect is "none": write "nft" there, or give --by nft')
    try:
        own = Own(
            os.geteuid() if user is None else user_number(user),
            None if group is None else group_number(group),
        )
        port = admin.rpartition(":")[2]
        ports = [int(port)] if port.isdigit() else []
        return made(mesh, own, excluded(mesh), ports)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _warn_of_root(wanted: Redirect, user: str | None) -> None:
    if 0 in wanted.uids and user is None:
        by = "run the sidecar as another user, by rules of spangate redirect install --user NAME"
        why = "so that an application that runs as root is redirected as well"
        click.echo(f"warning: what root sends is not redirected: {by}, {why}", err=True)
