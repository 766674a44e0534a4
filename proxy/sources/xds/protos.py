"""The messages of xDS as classes, made from the published descriptors that come with this package.

`protos.bin` is made by tests/peers/xds_protos.py: 90 files, 43 kB. The package that has them all
on PyPI is 1,826 files and overwrites those of two others (decision 188). Only the process that
talks xDS imports this.
"""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

V3 = "envoy.service.discovery.v3"


@cache
def message(name: str) -> Any:
    """The class of that full name; KeyError if nothing here describes it."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


def unpacked(packed: Any) -> Any | None:
    """What an Any holds, as a message; None for a type that is not described here. ValueError if
    the bytes are no such message."""
    try:
        made = message(packed.type_url.rpartition("/")[2])()
    except KeyError:
        return None
    try:
        made.ParseFromString(packed.value)
    except Exception as error:  # DecodeError of either runtime  # noqa: BLE001
        raise ValueError(f"{packed.type_url} cannot be decoded: {error}") from None
    return made


@cache
def _pool() -> Any:
    packed = Path(__file__).with_name("protos.bin").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(zlib.decompress(packed))
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool
