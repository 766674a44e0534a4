"""One question to DNS, and its answer: the only module that knows dnspython.

It is imported when an upstream discovers by DNS, and by nobody else. dnspython matches answers
with questions by id, name and sender, and passes by what does not match; an answer that is
truncated is asked for again by TCP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver

TIMEOUT = 2.0  # seconds for one server
LIFETIME = 5.0  # seconds for one question, whichever servers are asked


class Failed(Exception):
    """There was no answer that could be used. Its text says why, in one line."""


class Records(NamedTuple):
    """What an answer holds. `ttl` in seconds, the least of all records on the way (CNAME)."""

    values: Sequence[Any]  # of dnspython, in the order of the answer
    ttl: float
    why: str = ""  # there are none


async def ask(name: str, kind: str, servers: Sequence[tuple[str, int]]) -> Records:
    """Records of `kind` (A, AAAA, SRV). Names are completed by the search list of resolv.conf, but
    where `servers` are asked instead of the system's. Raises Failed."""
    try:
        resolver = _resolver(servers)
        answer = await resolver.resolve(
            name, kind, raise_on_no_answer=False, search=not servers, lifetime=LIFETIME
        )
    except dns.resolver.NXDOMAIN:
        return Records((), 0, "there is no such name (NXDOMAIN)")
    except dns.resolver.LifetimeTimeout:
        raise Failed(f"no answer that could be used within {LIFETIME:g} s") from None
    except dns.resolver.NoNameservers as error:
        raise Failed(_why(error)) from None
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise Failed(_line(str(error) or type(error).__name__)) from None
    ttl = max(0.0, answer.chaining_result.minimum_ttl)
    if answer.rrset is None:
        return Records((), ttl, f"the name has no {kind} records")
    return Records(list(answer.rrset), ttl)


def _resolver(servers: Sequence[tuple[str, int]]) -> dns.asyncresolver.Resolver:
    """Made anew for each question, because resolv.conf may have changed."""
    resolver = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in servers]
    resolver.timeout = TIMEOUT
    return resolver


def _why(error: dns.resolver.NoNameservers) -> str:
    """ "SERVFAIL from 127.0.0.1:53, …": what each server said."""
    said = []
    for server, _, _, problem, _ in error.kwargs.get("errors", ()):
        words = _line(str(problem) or type(problem).__name__)
        where = str(server).removeprefix("Do53:").replace("@", ":")
        said.append(f"{words} from {where}")
    return ", ".join(dict.fromkeys(said)) or "no DNS server answers"


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
