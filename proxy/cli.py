"""The command `spangate`: what is typed, what is printed, which exit code.

Nothing heavy is imported before a command is known, so that `spangate run` starts at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import click

from proxy import __version__, start
from proxy.credentials import commands as credentials
from proxy.dashboards import commands as dashboards
from proxy.mesh.ca_commands import ca
from proxy.mesh.commands import redirect
from proxy.plain import told
from proxy.start import DEFAULT_FILE
from proxy.terminal.commands import COMMANDS
from proxy.terminal.mesh_commands import mesh

if TYPE_CHECKING:
    from proxy.config.loaded import Loaded
    from proxy.errors import Problem

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON, for scripts.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="spangate %(version)s")
def main() -> None:
    """Spangate: a reverse proxy in which every request leaves a correct trace."""


for _command in (
    *COMMANDS,
    dashboards.dashboard,
    dashboards.alerts,
    credentials.cert,
    credentials.key,
    credentials.password,
    redirect,
    mesh,
    ca,
):
    main.add_command(_command)


@main.command()
@click.argument("file", default=DEFAULT_FILE)
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes; wins over the file.")
@click.option(
    "--tls-keylog",
    type=click.Path(dir_okay=False, writable=True),
    help="Write the keys of TLS connections there, to decrypt captured packets. Never in earnest.",
)
def run(file: str, workers: int | None, tls_keylog: str | None) -> None:
    """Run the gateway that FILE (routes.toml) describes."""
    sys.exit(start.run(file, workers, os.path.abspath(tls_keylog) if tls_keylog else ""))


def _something(_: click.Context, option: click.Parameter, said: str | None) -> str | None:
    """Not "", as of a variable of a script that nobody has set."""
    if said is not None and not said.strip():
        raise click.BadParameter("it is empty; leave the option out, or say something")
    return said


_APP = "Where the application listens: a port, or an address."
_NAME = "The application's service, as its spans say."


@main.command()
@click.argument("file", default="")
@click.option("--app", metavar="PORT", callback=_something, help=_APP)
@click.option("--name", metavar="SERVICE", callback=_something, help=_NAME)
@click.option("--redirect", is_flag=True, help="Make the rules of FILE, or nft's, while this runs.")
def sidecar(file: str, app: str | None, name: str | None, redirect: bool) -> None:
    """Run the sidecar of an application, by FILE with its [mesh] or without any file.

    What comes in at port 15006 goes to the application; what the application sends to port 15001
    goes where it was meant to go. Options win over FILE.
    """
    sys.exit(start.sidecar(file, app or "", name or "", redirect))


@main.command()
@click.argument("pid", type=click.IntRange(min=1))
def upgrade(pid: int) -> None:
    """Have the gateway PID followed by the program as it is now, and print the new PID.

    Nobody who is served notices. If the new one cannot start, the old one goes on, and the exit
    code is 1.
    """
    from proxy.hub.upgrade_asked import Refused
    from proxy.hub.upgrade_asked import upgrade as ask

    try:
        click.echo(ask(pid))
    except Refused as refused:
        click.echo(f"spangate: no upgrade: {refused}", err=True)
        sys.exit(1)


@main.command()
@click.argument("file", default=DEFAULT_FILE)
def collect(file: str) -> None:
    """Run the collector of FILE alone: a routes.toml, or an OpenTelemetry Collector's .yaml."""
    from proxy.hub.collect import run as run_collector

    sys.exit(run_collector(file))


@main.command()
@click.argument("file", default=DEFAULT_FILE)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@_AS_JSON
def check(file: str, strict: bool, as_json: bool) -> None:
    """Print everything that is wrong with FILE (routes.toml); exit code 1 if anything is.

    FILE may be - for what comes through a pipe.
    """
    from proxy.config.messaging_names import written

    loaded = _load(file, err=False, broken=_checked if as_json else None)
    warnings = [*loaded.warnings, *_shadowed(loaded), *_passed_by(loaded), *_misfits(loaded)]
    is_ok, config = not (strict and warnings), loaded.config
    routes = written(route.name for route in config.route)
    sizes = {"route": routes, "upstream": written(config.upstream)}
    if config.consume:
        sizes["consumer"] = len(config.consume)
    if config.collector is not None:
        sizes["pipeline"] = len(config.collector.pipelines)
    if as_json:
        _checked(warnings, {f"{noun}s": number for noun, number in sizes.items()}, ok=is_ok)
    else:
        _print(warnings)
    if not is_ok:
        sys.exit(1)
    if not as_json:
        click.echo(f"ok: {', '.join(_count(number, noun) for noun, number in sizes.items())}")
        for line in [*_made(loaded), *_sources(loaded)]:
            click.echo(line)


@main.command()
@click.argument("words", nargs=-1, metavar="[FILE] [METHOD] URL")
@click.option("-H", "--header", "headers", multiple=True, help="A request header: 'name: value'.")
@click.option("--client", metavar="ADDRESS", help="Of the client, for `allow` and `deny`.")
@click.option("--listener", metavar="NAME", help="By which it comes in; a sidecar has two.")
@_AS_JSON
def explain(
    words: tuple[str, ...],
    headers: tuple[str, ...],
    client: str | None,
    listener: str | None,
    as_json: bool,
) -> None:
    """Tell what happens to a request: explain [FILE] [METHOD] URL.

    Without a METHOD it is GET. FILE may be - for what comes through a pipe.
    """
    file, method, url = _request(words)
    loaded = _load(file, err=True, broken=_not_explained if as_json else None)
    from proxy.errors import BadRequest
    from proxy.explain import explain as explained
    from proxy.explain import read_request, scheme_of
    from proxy.terminal.sourced import there

    try:
        data = read_request(method, url, headers)
        asked = client is None and listener is None
        taken, lines = there(loaded, method, url, headers) if asked else (None, [])
        if taken is None:
            taken, own = explained(loaded, data, scheme_of(url), client, listener)
            lines = [*own, *lines]
    except BadRequest as error:
        taken, lines = False, [f"answer     {error.status}: {error.detail}"]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        from proxy.terminal.problems import explained as told_as_json

        told_as_json(taken, lines)
    else:
        click.echo("\n".join(lines))
    sys.exit(0 if taken else 1)


@main.command()
@click.argument("file", default="")
@click.option(
    "--load",
    type=float,
    metavar="RATE",
    help="Requests a second that it makes by itself, up to 1000; without it, LOAD says, or none.",
)
def demo(file: str, load: float | None) -> None:
    """Show it: five small services behind the gateway, and every trace.

    FILE is another configuration than that of `spangate example`.
    """
    from proxy.demo.__main__ import main as show

    sys.exit(show(file, load))


@main.command()
def example() -> None:
    """Print a routes.toml with comments, to begin with."""
    from proxy.demo import EXAMPLE

    click.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)


@main.command()
def schema() -> None:
    """Print the JSON schema of routes.toml, for editors."""
    import json

    from proxy.config.schema import schema as made

    click.echo(json.dumps(made(), indent=2, ensure_ascii=False))


@main.command()
def version() -> None:
    """Print the version, and whether it runs compiled."""
    python = f"{sys.implementation.name.replace('cp', 'CP')} {sys.version.split()[0]}"
    click.echo(f"spangate {__version__} ({told()}, {python})")


def _request(words: tuple[str, ...]) -> tuple[str, str, str]:
    """File, method and URL of what was typed: `/path`, `GET /path`, `FILE /path` or all three."""
    if len(words) == 3:
        return words
    if len(words) == 1 and not words[0].isupper():  # GET alone lacks a URL
        return DEFAULT_FILE, "GET", words[0]
    if len(words) != 2:
        usage = "give a URL, a method before it if it is not GET: explain [FILE] [METHOD] /path"
        raise click.UsageError(usage)
    first, url = words
    # No method has a dot or a slash in its name, and hardly a file has neither.
    if first == "-" or "." in first or "/" in first or os.path.isfile(first):
        return first, "GET", url
    return DEFAULT_FILE, first, url


def _checked(problems: Iterable[Problem], sizes: Mapping[str, int] = {}, ok: bool = False) -> None:
    from proxy.terminal.problems import checked

    checked(problems, sizes, ok=ok)


def _not_explained(problems: Iterable[Problem]) -> None:
    from proxy.terminal.problems import explained

    explained(False, (), problems)


def _load(file: str, *, err: bool, broken: Callable[[list[Problem]], None] | None = None) -> Loaded:
    """The file, or its problems on the screen, or told to `broken`, and exit code 1."""
    from proxy.config.load import load
    from proxy.errors import ConfigError

    try:
        loaded = load(file, os.environ)
        if loaded.config.source.file is None:
            return loaded
        from proxy.terminal.sourced import with_files

        return with_files(loaded, os.environ)
    except ConfigError as error:
        if broken is not None:
            broken(error.problems)
        else:
            _print(error.problems, err=err)
        sys.exit(1)


def _made(loaded: Loaded) -> list[str]:
    from proxy.explain.listeners import self_signed

    return self_signed(loaded)


def _sources(loaded: Loaded) -> list[str]:
    from proxy.terminal.sourced import note

    return note(loaded)


def _shadowed(loaded: Loaded) -> list[Problem]:
    """A warning for each route that can never match."""
    from proxy.config.locate import dotted
    from proxy.errors import Problem
    from proxy.routing.table import Table

    return [
        Problem(
            dotted(("route", route)),
            f"never matches: {reason}",
            "narrow that route or remove this one",
            loaded.lines.near(("route", route)),
            loaded.file,
            warning=True,
        )
        for route, _, reason in Table.compile(loaded.config.route).shadowed()
    ]


def _passed_by(loaded: Loaded) -> list[Problem]:
    """A warning for each route that keeps requests away which reach servers past it."""
    from proxy.routing.passed_by import passed_by

    return passed_by(loaded)


def _misfits(loaded: Loaded) -> list[Problem]:
    """A warning for each promised latency that the histograms cannot tell."""
    from proxy.dashboards.objectives import misfits

    return misfits(loaded)


def _print(problems: Iterable[Problem], *, err: bool = False) -> None:
    for problem in problems:
        click.echo(str(problem), err=err)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
