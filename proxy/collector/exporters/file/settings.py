"""Settings of the file exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import field

from proxy.collector.parts import Problems, Retry
from proxy.config.disk import file_in_the_way
from proxy.config.section import Count, Section
from proxy.config.units import Seconds, Size

MIB = 1024 * 1024
SIGNAL = "{signal}"


class Rotation(Section, frozen=True):
    """When a new file is begun and how many old ones stay; 0 = no limit."""

    max_size: Size = Size(100 * MIB)  # of one file, as it is on disk
    interval: Seconds = Seconds(0)  # age at which a file is put away
    max_backups: Count = 100  # files that were put away
    max_age: Seconds = Seconds(0)  # of those


class Settings(Section, frozen=True):
    """[collector.exporters.file]"""

    path: str  # {signal} becomes traces, metrics, logs or profiles
    format: Literal["json", "proto"] = "json"  # a line each, or four bytes of length before each
    compression: Literal["none", "gzip", "zstd"] = "none"  # of the file
    append: bool = True  # false: begin with an empty file
    flush_interval: Seconds = Seconds(1)  # 0 = write each batch as it comes
    fsync: bool = False  # wait until the disk has it
    rotation: Rotation | None = None
    retry_on_failure: Retry = field(default_factory=Retry)
    queue_size: Size = Size(64 * MIB)  # of what waits to be written; 0 = no limit

    def problems(self) -> Problems:
        if not self.path or self.path.endswith("/"):
            yield ("path",), "a file name is wanted", 'write "/var/log/otel/{signal}.jsonl"'
        elif Path(self.path).is_dir():
            yield ("path",), f"{self.path} is a folder", 'write "…/{signal}.jsonl"'
        elif file := file_in_the_way(str(Path(self.path).parent)):
            yield ("path",), f"{file} is a file", "name a folder before the file's name"
        if self.format == "proto" and SIGNAL not in self.path:
            message = "protobuf messages do not tell their signal, so each signal needs its file"
            yield ("path",), message, f'write "….{SIGNAL}.pb"'
