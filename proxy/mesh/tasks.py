"""The work of sources that needs a parser of certificates, or signs: each gives one Svid, and
raises ValueError or OSError. It is done in a process of its own (`aside.py`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from proxy.access.svid import identity
from proxy.config.spiffe import parse
from proxy.config.tls_pem import Unusable, certificates, read
from proxy.mesh import ca, ca_files, workload_reply
from proxy.mesh.aside import Answer
from proxy.mesh.files import SETS
from proxy.mesh.judged import judged
from proxy.mesh.svid import Svid

MOST_DOMAINS = 100


def local(folder: str, who: str, domain: str, ttl: float, now: float) -> Svid:
    """One more certificate of the authority in `folder`, which is made if there is none."""
    authority = ca_files.made(folder, domain, now)
    cert, key = ca.issue(authority.signer(now), parse(who), ttl, now)
    trust = {authority.domain: authority.bundle(now)}
    made = judged(cert, key, trust, now, (who, f"the key of {who}"))
    return replace(made, changes=authority.changes(now))


def files(folder: str, now: float) -> Svid:
    """What is in a folder."""
    place = Path(folder)
    names = next((s for s in SETS if all((place / name).is_file() for name in s)), None)
    if names is None:
        wanted = ", ".join(SETS[0])
        raise Unusable(f"{place} has no identity: {wanted} are looked for, or {SETS[1][0]}, …")
    cert, key, roots = (read(str(place / name)) for name in names)
    shown = str(place / names[0])
    others = sorted((place / "trust").glob("*.pem"))[:MOST_DOMAINS]
    trust = {path.stem: read(str(path)) for path in others}
    trust[_domain(cert, shown)] = roots
    return judged(cert, key, trust, now, (shown, str(place / names[1])))


def workload(message: bytes, now: float) -> Svid:
    """What the Workload API has answered."""
    said = workload_reply.read(message)
    return judged(
        said.cert, said.key, said.trust, now, ("the Workload API's certificate", "its key")
    )


TASKS: dict[str, Callable[..., Svid]] = {"local": local, "files": files, "workload": workload}


def here(task: str, *arguments: object) -> Svid:
    """One of them, in this process."""
    return TASKS[task](*arguments)


def main() -> None:
    """One of them, asked by a pipe and answered by another."""
    task, arguments = msgspec.msgpack.decode(sys.stdin.buffer.read())
    try:
        answer = Answer(here(task, *arguments))
    except (OSError, ValueError) as error:
        answer = Answer(error=str(error))
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


def _domain(cert: bytes, name: str) -> str:
    """The trust domain that the leaf says."""
    try:
        return identity(certificates(cert, name)[0].public_bytes(Encoding.DER)).domain
    except Unusable:
        raise
    except ValueError as error:
        raise Unusable(f"{name} {error}") from None


if __name__ == "__main__":
    main()
