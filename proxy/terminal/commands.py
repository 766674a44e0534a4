"""What asks a running gateway: `tap`, `top`, `traces`, `map`, `doctor`, `stats`, `ready`; and how
it is found, by those of `spangate mesh` as well.

Only click is imported before a command is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from proxy.terminal.client import Gateway

_Command = Callable[..., None]
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON, for scripts.")


def admin_option(default: str | None, help: str) -> Callable[[_Command], _Command]:
    """The option that says where the gateway is, as `url`."""
    return click.option(
        "--admin",
        "url",
        default=default,
        envvar="SPANGATE_ADMIN",
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help=help,
    )


def at(url: str, token: str = "") -> Gateway:
    """The gateway that is there."""
    from proxy.terminal.client import Gateway, address

    try:
        return Gateway(address(url), token)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--admin") from None


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where the gateway is, and the gateway by them."""

    @admin_option("http://127.0.0.1:9901", "The gateway's admin port; a Unix socket as unix:/path.")
    @click.option(
        "--token",
        default="",
        envvar="SPANGATE_ADMIN_TOKEN",
        show_envvar=True,
        help="What its [admin] token is.",
    )
    @wraps(command)
    def asked(url: str, token: str, *args: Any, **kwargs: Any) -> None:
        token = token.strip()
        if token and not (token.isascii() and token.isprintable()):
            raise click.BadParameter("it is no token: plain ASCII", param_hint="--token")
        command(at(url, token), *args, **kwargs)

    return asked


def _duration(_: click.Context, option: click.Parameter, said: str | None) -> float | None:
    """Milliseconds of "100ms" or "2s"."""
    if said is None:
        return None
    from proxy.config.units import Seconds

    try:
        return Seconds.parse(said) * 1000
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _interval(context: click.Context, option: click.Parameter, said: str) -> float:
    """Seconds, a tenth at least."""
    milliseconds = _duration(context, option, said) or 0.0
    if not 100 <= milliseconds <= 3_600_000:
        raise click.BadParameter("between 100ms and 1h")
    return milliseconds / 1000


_ROUTE = click.option("--route", help="Of that route alone.")
_SERVICE = click.option("--service", help="In which that service took part.")
_MIN = click.option(
    "--min", "min_ms", callback=_duration, metavar="TIME", help="That took so long: 100ms, 2s."
)
_ERRORS = click.option("--errors", is_flag=True, help="That failed.")


@click.command()
@_ROUTE
@click.option("--status", help="With that status: 500, 5xx; several with commas.")
@_MIN
@click.option("--path", metavar="GLOB", help="Whose path is like that: '/orders/*'.")
@click.option("--method", help="With that method; several with commas.")
@_SERVICE
@_ERRORS
@click.option("--max", "most", type=click.IntRange(min=1), help="Stop after so many requests.")
@AS_JSON
@asking
def tap(gateway: Gateway, errors: bool, most: int | None, as_json: bool, **filters: Any) -> None:
    """Show requests of a running gateway as they come, one line for each.

    With --json each line is an object. Ctrl-C ends it.
    """
    from proxy.terminal import tap as tapping
    from proxy.terminal.screen import ending

    with ending(quiet=True):
        tapping.run(gateway, _query(errors, **filters), most or 0, as_json=as_json)


@click.command()
@click.option(
    "--interval",
    default="1s",
    callback=_interval,
    show_default=True,
    metavar="TIME",
    help="How often it is asked for.",
)
@click.option(
    "--sort",
    type=click.Choice(["rate", "errors", "p50", "p99", "requests", "name"]),
    default="rate",
    show_default=True,
    help="What comes first.",
)
@click.option("--once", is_flag=True, help="As it is now; so it is where stdout is no terminal.")
@AS_JSON
@asking
def top(gateway: Gateway, interval: float, sort: str, once: bool, as_json: bool) -> None:
    """Show what goes through routes and upstreams: requests, errors, times.

    Ctrl-C ends it.
    """
    import sys

    from proxy.terminal import top as table
    from proxy.terminal.screen import ending

    with ending(quiet=True):
        if once or as_json or not sys.stdout.isatty():
            table.once(gateway, sort, as_json=as_json)
        else:
            table.live(gateway, sort, interval)


@click.command()
@click.argument("trace_id", required=False, metavar="[ID]")
@_ROUTE
@_SERVICE
@_MIN
@_ERRORS
@click.option("--since", metavar="TIME", help="Not older than that: 5m, or RFC 3339.")
@click.option("--q", metavar="TEXT", help="In which that text is.")
@click.option("--limit", type=click.IntRange(1, 1000), help="So many at most; 50.")
@click.option("--attributes", is_flag=True, help="With ID: what each span says besides.")
@AS_JSON
@asking
def traces(
    gateway: Gateway,
    trace_id: str | None,
    errors: bool,
    attributes: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """List the traces that a running gateway still has, or show the one with that ID.

    The beginning of an ID is enough.
    """
    from proxy.terminal import traces as kept
    from proxy.terminal.screen import ending

    query = _query(errors, **filters)
    if trace_id is not None and (query or not _is_id(trace_id)):
        why = "with an ID nothing else is searched for" if query else "an ID is up to 32 hex digits"
        raise click.UsageError(why)
    with ending():
        if trace_id is not None:
            kept.one(gateway, trace_id, as_json=as_json, full=attributes)
        else:
            kept.several(gateway, query, as_json=as_json)


@click.command("map")
@AS_JSON
@asking
def service_map(gateway: Gateway, as_json: bool) -> None:
    """Show who calls whom, how often, and how that ends."""
    from proxy.terminal.screen import ending
    from proxy.terminal.services import show_map

    with ending():
        show_map(gateway, as_json=as_json)


@click.command()
@click.option("--strict", is_flag=True, help="Exit code 1 if anything is found.")
@AS_JSON
@asking
def doctor(gateway: Gateway, strict: bool, as_json: bool) -> None:
    """Tell which services break traces, by what, and what to do about it."""
    from proxy.terminal.screen import ending
    from proxy.terminal.services import show_findings

    with ending():
        show_findings(gateway, as_json=as_json, strict=strict)


@click.command()
@AS_JSON
@asking
def stats(gateway: Gateway, as_json: bool) -> None:
    """Show workers, upstreams and what became of telemetry."""
    from proxy.terminal import stats as page
    from proxy.terminal.screen import ending

    with ending():
        page.show(gateway, as_json=as_json)


@click.command()
@asking
def ready(gateway: Gateway) -> None:
    """Tell whether traffic may come: exit code 0, or 1 with the reason. For health checks."""
    from proxy.terminal.screen import ending

    with ending():
        if gateway.is_ready():
            click.echo("ready")


COMMANDS = (tap, top, traces, service_map, doctor, stats, ready)


def _is_id(said: str) -> bool:
    return 0 < len(said) <= 32 and not said.lower().strip("0123456789abcdef")


def _query(errors: bool, **filters: Any) -> dict[str, str]:
    """What was said, as the API's parameters."""
    said = {key: value for key, value in filters.items() if value is not None}
    written = {key: f"{v:g}" if isinstance(v, float) else str(v) for key, v in said.items()}
    return {**written, "error": "true"} if errors else written
