"""Protobuf classes from a table, for foreign formats of a few messages.

They are made in a descriptor pool of their own, so that they never meet generated classes of the
same name in one process. Nothing is generated or copied, and parsing is as fast as elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

BYTES = FieldDescriptorProto.TYPE_BYTES
BOOL = FieldDescriptorProto.TYPE_BOOL
DOUBLE = FieldDescriptorProto.TYPE_DOUBLE
FIXED64 = FieldDescriptorProto.TYPE_FIXED64
INT32 = FieldDescriptorProto.TYPE_INT32
INT64 = FieldDescriptorProto.TYPE_INT64
UINT32 = FieldDescriptorProto.TYPE_UINT32
UINT64 = FieldDescriptorProto.TYPE_UINT64

# message -> (number, name, type); a text is the name of a message, with "*" behind it if repeated;
# "*" alone is repeated bytes.
Messages = Mapping[str, tuple[tuple[int, str, int | str], ...]]


def classes(package: str, messages: Messages) -> dict[str, Any]:
    """The class of each message, proto3."""
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for message, fields in messages.items():
        made = file.message_type.add(name=message)
        for number, name, kind in fields:
            _fill(made.field.add(name=name, number=number), package, kind)
    pool = DescriptorPool()
    pool.Add(file)
    find: Any = pool.FindMessageTypeByName
    return {name: GetMessageClass(find(f"{package}.{name}")) for name in messages}


def _fill(field: Any, package: str, kind: int | str) -> None:
    field.label = FieldDescriptorProto.LABEL_OPTIONAL
    if isinstance(kind, int):
        field.type = kind
        return
    if kind.endswith("*"):
        field.label = FieldDescriptorProto.LABEL_REPEATED
    message = kind.removesuffix("*")
    field.type = FieldDescriptorProto.TYPE_MESSAGE if message else BYTES
    if message:
        field.type_name = f".{package}.{message}"
