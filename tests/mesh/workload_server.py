"""A Workload API as SPIRE's agent has it: grpcio on a Unix socket, messages by protobuf's own
library, and the refusals of the standard."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
STRING, BYTES, MESSAGE = FIELD.TYPE_STRING, FIELD.TYPE_BYTES, FIELD.TYPE_MESSAGE


def _classes() -> tuple[Any, Any]:
    """The messages of workload.proto, as far as FetchX509SVID has them."""
    file = descriptor_pb2.FileDescriptorProto(name="workload_of_tests.proto", syntax="proto3")
    svid = file.message_type.add(name="X509SVID")
    for number, (name, kind) in enumerate(
        [("spiffe_id", STRING), ("x509_svid", BYTES), ("x509_svid_key", BYTES), ("bundle", BYTES),
         ("hint", STRING)], 1,
    ):  # fmt: skip
        svid.field.add(name=name, number=number, type=kind, label=FIELD.LABEL_OPTIONAL)
    reply = file.message_type.add(name="X509SVIDResponse")
    entry = reply.nested_type.add(name="FederatedBundlesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=STRING, label=FIELD.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=BYTES, label=FIELD.LABEL_OPTIONAL)
    many = FIELD.LABEL_REPEATED
    reply.field.add(name="svids", number=1, type=MESSAGE, label=many, type_name=".X509SVID")
    reply.field.add(name="crl", number=2, type=BYTES, label=many)
    reply.field.add(
        name="federated_bundles", number=3, type=MESSAGE, label=many,
        type_name=".X509SVIDResponse.FederatedBundlesEntry",
    )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    made = [message_factory.GetMessageClass(find(n)) for n in ("X509SVID", "X509SVIDResponse")]
    return made[0], made[1]


X509SVID, X509SVIDResponse = _classes()


def ders(pem: bytes) -> bytes:
    """All certificates, one behind the other."""
    begin = "-----BEGIN CERTIFICATE-----"
    texts = pem.decode().split(begin)[1:]
    return b"".join(ssl.PEM_cert_to_DER_cert((begin + text).strip()) for text in texts)


def key_der(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(pem, None)
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def reply(*identities: tuple[bytes, ...], **partners: bytes) -> bytes:
    """Of SVIDs (certificate, key, authorities), and of authorities by trust domain."""
    svids = [
        X509SVID(x509_svid=ders(cert), x509_svid_key=key_der(key), bundle=ders(roots))
        for cert, key, roots in identities
    ]
    for svid, (cert, _, _) in zip(svids, identities, strict=True):
        svid.spiffe_id = _uri(cert)
    bundles = {f"spiffe://{domain}": ders(pem) for domain, pem in partners.items()}
    made: bytes = X509SVIDResponse(
        svids=svids, federated_bundles=bundles, crl=[b"\x30\x00"]
    ).SerializeToString()
    return made


def _uri(cert: bytes) -> str:
    from cryptography import x509

    from proxy.mesh.ca import uri_of

    return uri_of(x509.load_pem_x509_certificate(cert))


class Agent:
    """Its state is one reply, or none: then callers have no identity."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = 0
        self._state = b""
        self._changed = asyncio.Event()
        self._server: Any = None

    async def __aenter__(self) -> Agent:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = grpc.aio.server()
        handler = grpc.unary_stream_rpc_method_handler(self._fetch)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("SpiffeWorkloadAPI", {"FetchX509SVID": handler})]
        )
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    def say(self, state: bytes) -> None:
        """Have all callers know; b"" = they have no identity."""
        self._state = state
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _fetch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.calls += 1
        metadata = dict(context.invocation_metadata())
        if metadata.get("workload.spiffe.io") != "true":
            why = "security header missing from request"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)
        while True:
            changed = self._changed
            if not self._state:
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
            yield self._state
            await changed.wait()
