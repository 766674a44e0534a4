"""Settings of the Prometheus receiver; names and defaults of Prometheus's own scrape_config."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import field

from proxy.collector.parts import Problems, TlsClient, check_headers, check_tls
from proxy.config.section import Count, Section
from proxy.config.syntax import is_field_value, parse_regex
from proxy.config.units import Seconds, Size

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"\$(\$|\d+|[a-zA-Z_]\w*|\{[a-zA-Z_0-9]+\})")


# Actions that write or read one label by its name, and what they do not look at: Prometheus
# refuses these, too.
_AIMED = ("keepequal", "dropequal", "lowercase", "uppercase", "hashmod")
_PATTERN, _TEXT = ("regex", "(.*)"), ("replacement", "$1")
_UNUSED: dict[str, tuple[tuple[str, str], ...]] = {
    "keepequal": (_PATTERN, _TEXT, ("separator", ";")),
    "dropequal": (_PATTERN, _TEXT, ("separator", ";")),
    "lowercase": (_TEXT,),
    "uppercase": (_TEXT,),
}


class Group(Section, frozen=True):
    """Targets ("host:port") and labels that they share; also what files of targets have."""

    targets: list[str]  # "host:port" of each
    labels: dict[str, str] = field(default_factory=dict)  # on all of their series


class Files(Section, frozen=True):
    """file_sd_configs: files that are read again when they change."""

    files: list[str]  # paths or patterns of .json and .toml files
    refresh_interval: Seconds = Seconds(5)  # how often to look at their times


class Relabel(Section, frozen=True):
    """One step of relabel_configs or metric_relabel_configs; regex is anchored at both ends."""

    # what becomes of the labels
    action: Literal[
        "replace",
        "keep",
        "drop",
        "keepequal",
        "dropequal",
        "lowercase",
        "uppercase",
        "hashmod",
        "labelmap",
        "labeldrop",
        "labelkeep",
    ] = "replace"
    source_labels: list[str] = field(default_factory=list)  # whose values are joined and matched
    separator: str = ";"  # between them
    regex: str = "(.*)"  # in Python's syntax
    target_label: str = ""  # where `replacement` goes
    replacement: str = "$1"  # $1, ${1} or ${name}; $$ = $
    modulus: Count = 0  # of hashmod


class BasicAuth(Section, frozen=True):
    """A user of the target."""

    username: str  # sent to the target
    password: str = ""  # sent to the target, never shown


class Authorization(Section, frozen=True):
    """What the Authorization field says."""

    credentials: str  # sent to the target, never shown
    type: str = "Bearer"  # the scheme before it


class Scrape(Section, frozen=True):
    """One job."""

    job_name: str  # the label `job`
    static_configs: list[Group] = field(default_factory=list)  # targets that are written here
    file_sd_configs: list[Files] = field(default_factory=list)  # targets that stand in files
    scrape_interval: Seconds | None = None  # None = the receiver's
    scrape_timeout: Seconds | None = None  # None = the receiver's
    metrics_path: str = "/metrics"  # what is asked for
    scheme: Literal["http", "https"] = "http"  # how it is asked for
    params: dict[str, list[str]] = field(default_factory=dict)  # of the query
    # sent with each request; values are never shown
    headers: dict[str, str] = field(default_factory=dict)
    basic_auth: BasicAuth | None = None  # a user and a password
    authorization: Authorization | None = None  # a token, or anything else
    tls: TlsClient = field(default_factory=TlsClient)  # towards targets with scheme https
    follow_redirects: bool = True  # go where a Location points
    honor_labels: bool = False  # the target's own labels win over ours
    honor_timestamps: bool = True  # those of the page, not the time of the scrape
    # of targets, before they are asked
    relabel_configs: list[Relabel] = field(default_factory=list)
    metric_relabel_configs: list[Relabel] = field(default_factory=list)  # of what they answered
    # What to take an answer without or with an unknown Content-Type for; "" = refuse it.
    fallback_scrape_protocol: Literal["", "PrometheusText0.0.4", "OpenMetricsText1.0.0"] = ""
    body_size_limit: Size = Size(32 * 1024 * 1024)  # of an answer, uncompressed; 0 = no limit
    sample_limit: Count = 100_000  # after metric_relabel_configs; 0 = no limit
    label_limit: Count = 0  # of one series; 0 = no limit
    label_name_length_limit: Count = 0  # characters; 0 = no limit
    label_value_length_limit: Count = 0  # characters; 0 = no limit


class Settings(Section, frozen=True):
    """[collector.receivers.prometheus]"""

    scrape_configs: list[Scrape]  # one for each job
    scrape_interval: Seconds = Seconds(60)  # from one scrape to the next
    scrape_timeout: Seconds = Seconds(10)  # for one scrape

    def problems(self) -> Problems:
        names = set()
        for i, job in enumerate(self.scrape_configs):
            path = ("scrape_configs", i)
            if job.job_name in names or not job.job_name:
                yield (*path, "job_name"), "a job needs a name that no other has", ""
            names.add(job.job_name)
            interval = self.interval(job)
            if interval <= 0:
                yield (*path, "scrape_interval"), "this must be more than 0", 'write "15s"'
            if self.timeout(job) <= 0:
                yield (*path, "scrape_timeout"), "this must be more than 0", 'write "10s"'
            if job.scrape_timeout is not None and job.scrape_timeout > interval:
                yield (*path, "scrape_timeout"), "longer than scrape_interval", "make it shorter"
            for key, message, remedy in _job_problems(job):
                yield (*path, *key), message, remedy

    def interval(self, job: Scrape) -> float:
        return float(self.scrape_interval if job.scrape_interval is None else job.scrape_interval)

    def timeout(self, job: Scrape) -> float:
        """Never longer than the interval."""
        asked = self.scrape_timeout if job.scrape_timeout is None else job.scrape_timeout
        return min(float(asked), self.interval(job))


def _job_problems(job: Scrape) -> Problems:
    yield from check_headers("headers", job.headers)
    yield from check_tls("tls", job.tls)
    if not job.metrics_path.startswith("/"):
        yield ("metrics_path",), "a path begins with /", 'write "/metrics"'
    if job.basic_auth and job.authorization:
        yield ("authorization",), "basic_auth and authorization exclude each other", ""
    if job.authorization and not is_field_value(job.authorization.credentials):
        yield ("authorization", "credentials"), "this cannot be sent in a header", ""
    yield from _targets_problems(job)
    for key in ("relabel_configs", "metric_relabel_configs"):
        for i, step in enumerate(getattr(job, key)):
            for inner, message, remedy in _relabel_problems(step):
                yield (key, i, *inner), message, remedy


def _targets_problems(job: Scrape) -> Problems:
    for i, group in enumerate(job.static_configs):
        for name in group.labels:
            if not _LABEL.fullmatch(name):
                yield ("static_configs", i, "labels", name), f"{name!r} is not a label name", ""
    for i, files in enumerate(job.file_sd_configs):
        for pattern in files.files:
            if not pattern.endswith((".json", ".toml")):
                yield ("file_sd_configs", i), f"{pattern!r} is neither .json nor .toml", ""


def _relabel_problems(step: Relabel) -> Problems:
    try:
        pattern = parse_regex(step.regex)
        for reference in _REFERENCE.findall(step.replacement):
            name = reference.strip("{}")
            known = int(name) <= pattern.groups if name.isdigit() else name in pattern.groupindex
            if name != "$" and not known and step.action in ("replace", "labelmap"):
                yield ("replacement",), f"regex has no group {name}", "write ${1} to end a number"
    except ValueError as error:
        yield ("regex",), str(error), ""
    if step.action in ("replace", *_AIMED) and not step.target_label:
        yield (), f"{step.action} needs `target_label`", ""
    elif step.action in _AIMED and not _LABEL.fullmatch(step.target_label):
        yield ("target_label",), f"{step.target_label!r} is not a label name", ""
    if step.action in ("keep", "drop") and not step.source_labels:
        yield (), f"{step.action} needs `source_labels`", ""
    if bool(step.modulus) != (step.action == "hashmod"):
        yield ("modulus",), "hashmod needs a `modulus`, and nothing else does", "write modulus = 8"
    for key, default in _UNUSED.get(step.action, ()):
        if getattr(step, key) != default:
            yield (key,), f"{step.action} does not look at this", "leave it out"
