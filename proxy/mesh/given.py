"""What a command goes by: `[mesh]` of the file that it is given, and whom that leaves alone."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proxy.config.loaded import Loaded
    from proxy.config.mesh_model import Mesh

DEFAULT_FILE = "routes.toml"


def mesh_of(file: str) -> tuple[Mesh, str]:
    """[mesh] of the file, and where its admin listener is. Where no file is named and none that
    is there has [mesh]: what a sidecar without a file has, by nft."""
    from proxy.config.mesh_service import NOWHERE

    if file:
        loaded = _loaded(file)
        if loaded is None:
            raise click.UsageError(f"{file} has no [mesh], so it is not a sidecar's")
    else:
        loaded = _loaded(DEFAULT_FILE) if os.path.isfile(DEFAULT_FILE) else None
        loaded = loaded or _loaded(NOWHERE)
    assert loaded is not None and loaded.config.mesh is not None
    return loaded.config.mesh, loaded.config.admin.listen


def excluded(mesh: Mesh) -> list[int]:
    """Numbers of those users that there are: nobody else can send anything here."""
    from proxy.mesh.people import user_number

    found = []
    for name in mesh.exclude.users:
        try:
            found.append(user_number(name))
        except ValueError as error:
            click.echo(f"warning: mesh.exclude.users: {error}", err=True)
    return found


def warn_of_nobody(*ports: int) -> None:
    """Of those to which connections will be redirected and where no sidecar listens."""
    from proxy.mesh.addresses import listens

    for port in ports:
        if not listens(port):
            nobody = f"nobody listens at port {port}: connections will be refused"
            click.echo(f"warning: {nobody} until a sidecar does", err=True)


def _loaded(path: str) -> Loaded | None:
    """None for a file without [mesh], whatever else is wrong with it."""
    from proxy.config.load import load
    from proxy.config.mesh_service import lacks_mesh
    from proxy.errors import ConfigError

    try:
        loaded = load(path, os.environ)
    except ConfigError as error:
        if lacks_mesh(error):
            return None
        for problem in error.problems:
            click.echo(str(problem), err=True)
        sys.exit(1)
    return loaded if loaded.config.mesh is not None else None
