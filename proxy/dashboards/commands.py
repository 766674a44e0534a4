"""`spangate dashboard` and `spangate alerts`: what is typed, and what is printed on stdout."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proxy.config.loaded import Loaded

FILE = click.argument("file", default="routes.toml", metavar="[FILE]")


@click.group()
def dashboard() -> None:
    """Print a dashboard that is made of the routes."""


@dashboard.command()
@FILE
@click.option("--title", default="", help="Title of the dashboard.")
@click.option("--uid", default="", help="Its id, 40 characters at most; an import updates by it.")
@click.option("--admin-url", default="", help="Where browsers reach the admin port.")
@click.option("--trace-url", default="", help="Where traces are kept: https://…/{trace_id}")
def grafana(file: str, title: str, uid: str, admin_url: str, trace_url: str) -> None:
    """Print a dashboard for Grafana, as JSON, made of FILE (routes.toml).

    FILE may be - for what comes through a pipe.
    """
    from proxy.dashboards.board import Links, board, text_of

    loaded = _load(file)
    try:
        links = Links.of(loaded.config, admin_url, trace_url)
        made = board(loaded, links, title=title, uid=uid)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(text_of(made), nl=False)


@click.group()
def alerts() -> None:
    """Print alerts that are made of the routes."""


@alerts.command()
@FILE
@click.option("--job", default="spangate", show_default=True, help="Its job in Prometheus.")
@click.option(
    "--min-requests",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="With fewer in the longer window no burn rate is told.",
)
@click.option(
    "--runbooks", default="docs/alerts.md", show_default=True, help="Where runbook_url leads."
)
def prometheus(file: str, job: str, min_requests: int, runbooks: str) -> None:
    """Print recording rules and alerts for Prometheus, as YAML, made of FILE (routes.toml).

    FILE may be - for what comes through a pipe.
    """
    from proxy.dashboards.document import document

    config = _load(file).config
    click.echo(document(config, job=job, fewest=min_requests, runbooks=runbooks), nl=False)


def _load(file: str) -> Loaded:
    """The file, or its problems on stderr and exit code 1."""
    from proxy.config.load import load
    from proxy.dashboards.objectives import misfits
    from proxy.errors import ConfigError

    try:
        loaded = load(file, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        sys.exit(1)
    for problem in misfits(loaded):
        click.echo(str(problem), err=True)
    return loaded
