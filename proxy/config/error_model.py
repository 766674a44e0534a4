"""The tables about answers for failures, and maintenance, as `model.py` has the others."""

from __future__ import annotations

from msgspec import field

from proxy.config.section import Section
from proxy.config.units import Seconds


class ErrorPage(Section, frozen=True):
    """What is shown for a status: files, or what an upstream answers."""

    file: str = ""  # path of one page for everybody; what it is follows from .html, .json or .txt
    html: str = ""  # path of the page for browsers
    json: str = ""  # path of that for programs
    text: str = ""  # path of that for terminals
    upstream: str = ""  # name of the upstream that is asked for it instead
    path: str = "/errors/{status}"  # what it is asked for


class Maintenance(Section, frozen=True):
    """Routes to upstreams answer 503 while it is on."""

    on: bool = False  # it is on
    file: str = ""  # path: it is on while there is such a file, without a reload
    allow: list[str] = field(default_factory=list)  # CIDRs, "unix": whose requests pass
    retry_after: Seconds = Seconds(60)  # what clients are told; 0 = nothing


class Errors(Section, frozen=True):
    """Answers for failures, and the maintenance switch."""

    pages: dict[str, ErrorPage] = field(default_factory=dict)  # "503", "5xx" -> a file, or a table
    intercept: bool = False  # also in the place of what upstreams answer with these statuses
    timeout: Seconds = Seconds(1)  # for a page of an upstream; then the gateway's own answer
    maintenance: Maintenance = field(default_factory=Maintenance)  # true, a path, or a table


class RouteErrors(Section, frozen=True):
    """Answers for failures of one route's requests, before those of [errors]."""

    pages: dict[str, ErrorPage] = field(default_factory=dict)  # as in [errors]
    intercept: bool | None = None  # None: as [errors] says
