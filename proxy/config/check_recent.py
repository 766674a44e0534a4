"""What must hold of the folder for recent telemetry, and where it is."""

from __future__ import annotations

import os

import msgspec

from proxy.config.disk import file_in_the_way
from proxy.config.model import Config
from proxy.config.report import Report
from proxy.config.see_model import Recent

LEAST = 4 * 1024 * 1024  # bytes: sixteen files of the least size


def check_recent(config: Config, report: Report) -> Recent:
    """Report what cannot work; the table with its path beside the configuration."""
    recent = config.recent
    if not recent.path or report.is_broken("recent", "path"):
        return recent
    if "\0" in recent.path:
        report.error(("recent", "path"), "a path cannot have a NUL in it")
        return recent
    path = os.path.join(os.path.dirname(report.file), recent.path)
    if file := file_in_the_way(path):
        remedy = "name a folder, or one to be made"
        report.error(("recent", "path"), f"{file} is a file", remedy)
    if not recent.size and not report.is_broken("recent", "size"):
        message = "nothing is kept, on disk neither: [recent] size = 0"
        report.warn(("recent", "path"), message, "give it a size, or leave out path")
    if recent.disk < LEAST and not report.is_broken("recent", "disk"):
        report.error(("recent", "disk"), "there is no room for anything", 'write "4MiB" or more')
    return msgspec.structs.replace(recent, path=path)
