"""`spangate redirect` and `spangate mesh`: what is typed, what is printed, which exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from proxy.config.mesh_model import Mesh
    from proxy.mesh.cgroups import Cgroup
    from proxy.mesh.rules import Redirect

DEFAULT_FILE = "routes.toml"
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
    from proxy.mesh.install import CannotRedirect
    from proxy.mesh.install import install as made

    wanted = _wanted(file, by, user, group)
    if wanted.how == "ebpf":
        raise click.UsageError("eBPF has no rules to install: spangate mesh run -- COMMAND")
    try:
        made(wanted)
    except CannotRedirect as error:
        _fail(error.problems)
    _warn_of_root(wanted, user)
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
        _fail(problems)
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
    if missing:
        _fail(missing)
    click.echo(f"ok: redirected by {wanted.how}")


@click.group()
def mesh() -> None:
    """The mesh that this host is in."""


@mesh.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--file", default="", help="Its [mesh]; without it, routes.toml if there is one.")
@click.option("--user", help="Whom COMMAND runs as; without it, who calls this.")
@click.option("--sidecar-user", help="Whom the sidecar runs as, if not as root.")
@click.argument("words", nargs=-1, required=True, metavar="[--] COMMAND [ARG]...")
def run(file: str, user: str | None, sidecar_user: str | None, words: tuple[str, ...]) -> None:
    """Run COMMAND with what it connects to redirected to the sidecar, by eBPF.

    Nothing else on this host is redirected, nor what comes in to COMMAND. It gets the signals that
    this gets, and its exit code is this one's.
    """
    from proxy.mesh import command, people
    from proxy.mesh.ebpf import CannotLoad, redirected
    from proxy.mesh.rules import Own
    from proxy.mesh.rules import redirect as made

    found, admin = _mesh(file)
    _demand_ebpf(found, admin)
    try:
        users = _excluded(found)
        own = Own(None if sidecar_user is None else people.user_number(sidecar_user))
        wanted = made(found, own, users)
        become = None if user is None else people.becoming(user)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    try:
        with redirected(wanted, own.uid) as group:
            _warn_of_nobody(wanted)
            status = command.run(words, lambda: _prepare(group, become))
    except CannotLoad as error:
        _fail(error.problems)
    command.end_as(status)


def _prepare(group: Cgroup, become: Callable[[], None] | None) -> None:
    group.enter()
    if become is not None:
        become()


def _demand_ebpf(found: Mesh, admin: str) -> None:
    """Of the sidecar: any other would not look where connections wanted to go. What runs is asked;
    what a file says is not certainly what the sidecar was started with, and only worth a warning.
    """
    from proxy.config.syntax import parse_address
    from proxy.mesh.beside import how_redirected

    remedy = 'write redirect = "ebpf" into [mesh] of its file'
    how = how_redirected(admin, parse_address(found.outbound)[1])
    if how is not None and how != "ebpf":
        lost = "it would not see where the command's connections want to go"
        raise click.UsageError(
            f'the sidecar with the admin port {admin} has mesh.redirect = "{how}": {lost}; {remedy}'
        )
    if how is None and found.redirect != "ebpf":
        nobody = f"no sidecar answers at {admin}" if admin else "there is no admin port to ask"
        lost = f'with mesh.redirect = "{found.redirect}", as here, it loses destinations'
        click.echo(f"warning: {nobody}; {lost}: {remedy}", err=True)


def _warn_of_nobody(wanted: Redirect) -> None:
    from proxy.mesh.addresses import listens

    if not listens(wanted.outbound):
        nobody = f"nobody listens at port {wanted.outbound}: connections will be refused"
        click.echo(f"warning: {nobody} until a sidecar does", err=True)


def _fail(problems: Iterable[str]) -> NoReturn:
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1)


def _mesh(file: str) -> tuple[Mesh, str]:
    """[mesh] of the file, and where its admin listener is. Where no file is named and none that
    is there has [mesh]: what a sidecar without a file has, by nft."""
    from proxy.config.load import load
    from proxy.config.mesh_model import Mesh
    from proxy.config.mesh_service import NOWHERE
    from proxy.errors import ConfigError

    path = file or (DEFAULT_FILE if os.path.isfile(DEFAULT_FILE) else NOWHERE)
    try:
        loaded = load(path, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        sys.exit(1)
    admin = loaded.config.admin.listen
    if loaded.config.mesh is not None:
        return loaded.config.mesh, admin
    if file:
        raise click.UsageError(f"{file} has no [mesh]")
    return Mesh(redirect="nft"), admin


def _wanted(file: str, by: str | None, user: str | None, group: str | None) -> Redirect:
    import msgspec

    from proxy.mesh.people import group_number, user_number
    from proxy.mesh.rules import Own
    from proxy.mesh.rules import redirect as made

    mesh, admin = _mesh(file)
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
        return made(mesh, own, _excluded(mesh), ports)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _excluded(mesh: Mesh) -> list[int]:
    """Numbers of those users that there are: nobody else can send anything here."""
    from proxy.mesh.people import user_number

    found = []
    for name in mesh.exclude.users:
        try:
            found.append(user_number(name))
        except ValueError as error:
            click.echo(f"warning: mesh.exclude.users: {error}", err=True)
    return found


def _warn_of_root(wanted: Redirect, user: str | None) -> None:
    if 0 in wanted.uids and user is None:
        by = "run the sidecar as another user, by rules of spangate redirect install --user NAME"
        why = "so that an application that runs as root is redirected as well"
        click.echo(f"warning: what root sends is not redirected: {by}, {why}", err=True)
