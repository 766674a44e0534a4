"""`spangate ca`: the small authority of a mesh on one host, made, shown and rotated."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from proxy.config.spiffe import SpiffeId
    from proxy.mesh.ca import Authority

DIR = click.option(
    "--dir",
    "folder",
    default="/var/lib/spangate/ca",
    show_default=True,
    envvar="SPANGATE_CA",
    show_envvar=True,
    help="Where it is: the DIR of local:///DIR.",
)
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON, for scripts.")


def _seconds(_: click.Context, option: click.Parameter, said: str) -> float:
    from proxy.config.units import Seconds

    try:
        return Seconds.parse(said)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _life(context: click.Context, option: click.Parameter, said: str) -> float:
    """Of a certificate, as `ttl` of [mesh.identity] has it."""
    from proxy.config.mesh_identity import LONGEST_TTL, SHORTEST_TTL

    seconds = _seconds(context, option, said)
    if not SHORTEST_TTL <= seconds <= LONGEST_TTL:
        raise click.BadParameter("between 2s and 24h")
    return seconds


def _id(_: click.Context, option: click.Parameter, said: str) -> SpiffeId:
    from proxy.config.spiffe import parse

    try:
        return parse(said)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _domain(_: click.Context, option: click.Parameter, said: str) -> str:
    from proxy.config.spiffe import check_domain

    try:
        check_domain(said)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return said


def _names(_: click.Context, option: click.Parameter, said: tuple[str, ...]) -> tuple[str, ...]:
    """As a certificate has them, in ASCII."""
    from proxy.config.local_ca import dns_name

    for name in said:
        if not dns_name(name):
            raise click.BadParameter(f"{name!r} is no DNS name")
    return tuple(map(dns_name, said))


@click.group("ca", invoke_without_command=True)
@click.pass_context
def ca(context: click.Context) -> None:
    """Make, show and rotate the authority that signs the identities of a mesh on one host.

    Sidecars with `identity = { ca = "local:///DIR" }` make it by themselves.
    """
    if context.invoked_subcommand is None:
        context.invoke(show)


@ca.command()
@DIR
@_AS_JSON
def show(folder: str = "/var/lib/spangate/ca", as_json: bool = False) -> None:
    """Show its trust domain and its roots: which one signs, and until when each counts."""
    from proxy.mesh import ca_files

    try:
        found = ca_files.read(folder)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if found is None:
        remedy = f"spangate ca make --dir {folder}"
        raise click.ClickException(f"there is no authority in {folder}: {remedy}")
    _told(found, folder, as_json=as_json)


@ca.command()
@DIR
@click.option(
    "--domain", default="mesh", callback=_domain, show_default=True, help="Its trust domain."
)
@_AS_JSON
def make(folder: str, domain: str, as_json: bool) -> None:
    """Make it, if it is not there."""
    from proxy.mesh import ca_files

    try:
        found = ca_files.made(folder, domain, time.time())
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    _told(found, folder, as_json=as_json)


@ca.command()
@DIR
@click.option(
    "--overlap",
    default="10m",
    callback=_seconds,
    show_default=True,
    help="How long it is trusted before it signs.",
)
@_AS_JSON
def rotate(folder: str, overlap: float, as_json: bool) -> None:
    """Add another root, which signs once every sidecar has had time to know it.

    The one before is trusted until the last certificate that it may have signed has expired.
    """
    from proxy.mesh import ca_files

    try:
        found = ca_files.rotate(folder, time.time(), overlap)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    _told(found, folder, as_json=as_json)


@ca.command()
@click.argument("id", metavar="SPIFFE-ID", callback=_id)
@DIR
@click.option(
    "--ttl",
    default="1h",
    callback=_life,
    show_default=True,
    help="How long it counts, at most 24h.",
)
@click.option(
    "--dns", multiple=True, callback=_names, help="A DNS name besides; may be given again."
)
@click.option("--out", default=".", show_default=True, help="Where the files go.")
def issue(id: SpiffeId, folder: str, ttl: float, dns: tuple[str, ...], out: str) -> None:
    """Sign an identity for somebody without a sidecar: svid.pem, svid_key.pem, svid_bundle.pem."""
    from pathlib import Path

    from proxy.mesh import ca as authority
    from proxy.mesh import ca_files

    now = time.time()
    try:
        found = ca_files.read(folder)
        if found is None:
            raise ValueError(f"there is no authority in {folder}")
        cert, key = authority.issue(found.signer(now), id, ttl, now, dns)
        place = Path(out)
        place.mkdir(parents=True, exist_ok=True)
        for name, data, mode in (
            ("svid_key.pem", key, 0o600),
            ("svid.pem", cert, 0o644),
            ("svid_bundle.pem", found.bundle(now), 0o644),
        ):
            ca_files.replace(place / name, data, mode)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"made svid.pem, svid_key.pem and svid_bundle.pem in {out}")


def _told(found: Authority, folder: str, *, as_json: bool) -> None:
    view = _view(found, folder, time.time())
    if as_json:
        import json

        click.echo(json.dumps(view, indent=2))
        return
    click.echo(f"authority of spiffe://{found.domain} in {folder}")
    for root in view["roots"]:
        click.echo(f"{root['state']:<8} signs from {root['since']}, until {root['until']}")
        click.echo(f"         SHA-256 {root['sha256']}")
    click.echo(f"those who trust it need {view['bundle']}")


def _view(found: Authority, folder: str, now: float) -> dict[str, Any]:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    from proxy.mesh.ca_files import BUNDLE

    signer, trusted = found.signer(now), found.trusted(now)
    roots = []
    for root in found.roots:
        cert = x509.load_pem_x509_certificate(root.cert.encode("ascii"))
        state = "trusted" if root in trusted else "over"
        if root is signer:
            state = "signs"
        elif root.since > now:
            state = "next"
        fingerprint = cert.fingerprint(SHA256()).hex(":").upper()
        times = {"since": _time(root.since), "until": _time(root.until)}
        roots.append({"state": state, **times, "sha256": fingerprint})
    return {"domain": found.domain, "bundle": str(Path(folder, BUNDLE)), "roots": roots}


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
