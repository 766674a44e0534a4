"""Elasticsearch in this process, as strict as the real one about `_bulk` and data streams.

    async with FakeElastic() as elastic:
        elastic.script(Answer(status=503))            # whole requests in turn, then as they deserve
        elastic.busy("traces-generic.otel-default", 2)  # 429 to the next two documents
        ... export to elastic.url ...
        elastic.found("traces-generic.otel-default")  # sources, in order

Refused as a whole, HTTP 400: a wrong content type, no newline at the end, an action that is none or
has unknown parameters, a source that is missing. Refused one by one: names that no index may have,
anything but `create` on a data stream, a document without `@timestamp`, `data_stream.*` fields that
contradict the stream, unknown dynamic templates, duplicate keys, a field that is a value here and
an object there. Source: Elasticsearch reference, "Bulk API", "Data streams", "Create index",
`constant_keyword`; the built-in templates `traces`, `metrics` and `logs`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.otlp.fake_collector import DEADLINE

STREAM = re.compile(r"(logs|metrics|traces)-[^-]+-.+")  # index patterns of the built-in templates
TYPES = ("application/x-ndjson", "application/json", "application/vnd.elasticsearch+x-ndjson")
PARAMETERS = {
    "_index", "_id", "routing", "pipeline", "dynamic_templates", "require_alias", "version",
    "version_type", "if_seq_no", "if_primary_term", "require_data_stream", "retry_on_conflict",
}  # fmt: skip
TEMPLATES = {
    "counter_long", "counter_double", "gauge_long", "gauge_double", "histogram", "summary",
    "summary_metrics",
}  # fmt: skip
MOST_BYTES = 100 * 1024 * 1024
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


@dataclass(frozen=True)
class Answer:
    """What to say to a whole request instead of taking it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # None: an error as Elasticsearch writes it
    hang: bool = False


class Refused(Exception):
    """`type` and `reason` of an error, and its status."""

    def __init__(self, type: str, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.type = type
        self.reason = reason
        self.status = status

    def as_json(self) -> dict[str, Any]:
        return {"type": self.type, "reason": self.reason}


class FakeElastic:
    """`authorization` is what requests must have, "" = nothing."""

    def __init__(
        self, *, authorization: str = "", tls: ssl.SSLContext | None = None, most: int = MOST_BYTES
    ) -> None:
        self.url = ""
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []  # decompressed
        self.operations: list[tuple[str, dict[str, Any], dict[str, Any]]] = []  # that were stored
        self._authorization = authorization
        self._tls = tls
        self._most = most
        self._answers: deque[Answer] = deque()
        self._busy: dict[str, int] = {}
        self._ids: set[tuple[str, str]] = set()
        self._shapes: dict[str, dict[str, bool]] = {}  # index -> path -> is an object
        self._changed = asyncio.Condition()
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def script(self, *answers: Answer) -> None:
        self._answers.extend(answers)

    def busy(self, index: str, documents: int) -> None:
        """Say 429 to the next so many documents of that index."""
        self._busy[index] = documents

    def found(self, index: str) -> list[dict[str, Any]]:
        return [source for name, _, source in self.operations if name == index]

    def traced(self, trace: str) -> list[tuple[str, dict[str, Any]]]:
        """(index, source) that a search for the term `trace.id` finds, which in OpenTelemetry's
        mapping is an alias of `trace_id`."""
        fields = ("trace.id", "trace_id")
        return [
            (name, source)
            for name, _, source in self.operations
            if any(source.get(field) == trace for field in fields)
        ]

    @property
    def indices(self) -> set[str]:
        return {name for name, _, _ in self.operations}

    async def wait(self, documents: int) -> None:
        """Until so many are stored."""
        await self.wait_for(lambda: len(self.operations) >= documents)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until what is stored is as wished."""
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(condition)

    async def wait_requests(self, amount: int) -> None:
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= amount)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(request)
        async with self._changed:
            self._changed.notify_all()
        answer = self._answers.popleft() if self._answers else Answer()
        if answer.hang:
            await asyncio.Event().wait()
        if answer.status != 200 or answer.body is not None:
            refused = Refused("scripted_exception", "as the test says", answer.status)
            text = _error(refused) if answer.body is None else answer.body
            return web.Response(status=answer.status, body=text, headers=answer.headers)
        try:
            made = self._bulk(request, body)
        except Refused as refused:
            return web.Response(status=refused.status, body=_error(refused))
        async with self._changed:
            self._changed.notify_all()
        return web.json_response(made)

    def _bulk(self, request: web.BaseRequest, body: bytes) -> dict[str, Any]:
        if (request.method, request.path) != ("POST", "/_bulk"):
            raise Refused("illegal_argument_exception", f"no handler for {request.path}", 405)
        if request.headers.get("Authorization", "") != self._authorization:
            raise Refused("security_exception", "missing authentication credentials", 401)
        if request.content_type not in TYPES:
            text = f"Content-Type header [{request.content_type}] is not supported"
            raise Refused("media_type_header_exception", text, 406)
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)  # aiohttp's server may have done that
        if len(body) > self._most:
            raise Refused("content_too_long_exception", "entity content is too long", 413)
        self.bodies.append(body)
        if not body:
            raise Refused("parse_exception", "request body is required")
        if not body.endswith(b"\n"):
            text = "The bulk request must be terminated by a newline [\\n]"
            raise Refused("illegal_argument_exception", text)
        items = [{op: self._stored(op, where, source)} for op, where, source in list(_pairs(body))]
        failed = any(item["status"] >= 300 for entry in items for item in entry.values())
        return {"errors": failed, "items": items}

    def _stored(self, op: str, where: dict[str, Any], source: bytes) -> dict[str, Any]:
        try:
            self._store(op, where, source)
        except Refused as refused:
            return {"status": refused.status, "error": refused.as_json()}
        return {"status": 201}

    def _store(self, op: str, where: dict[str, Any], source: bytes) -> None:
        index = where["_index"]
        _check_name(index)
        if self._busy.get(index):
            self._busy[index] -= 1
            raise Refused("es_rejected_execution_exception", "rejected execution", 429)
        document = _parsed(source)
        for template in where.get("dynamic_templates", {}).values():
            if template not in TEMPLATES:
                text = f"Can't find dynamic template for dynamic template name [{template}]"
                raise Refused("document_parsing_exception", text)
        if STREAM.fullmatch(index):
            _check_stream(index, op, document)
        self._check_shape(index, document)
        if "_id" in where:
            if op == "create" and (index, where["_id"]) in self._ids:
                raise Refused("version_conflict_engine_exception", "document exists", 409)
            self._ids.add((index, where["_id"]))
        self.operations.append((index, {op: where}, document))

    def _check_shape(self, index: str, document: dict[str, Any]) -> None:
        """One mapping for all documents of an index."""
        shapes = self._shapes.setdefault(index, {})
        free = ".otel-" in index  # attributes are `passthrough` objects without sub-objects there
        for path, is_object in _paths(document, "", free):
            if shapes.setdefault(path, is_object) != is_object:
                text = f"object mapping for [{path}] tried to parse field as object, found a value"
                raise Refused("document_parsing_exception", text)


def _pairs(body: bytes) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    lines = iter(body[:-1].split(b"\n"))
    for number, line in enumerate(lines):
        try:
            ((op, where),) = json.loads(line).items()
        except (ValueError, AttributeError):
            text = f"Malformed action/metadata line [{number + 1}]"
            raise Refused("illegal_argument_exception", text) from None
        if op not in ("create", "index", "update", "delete") or "_index" not in where:
            raise Refused("illegal_argument_exception", f"Malformed action/metadata line: {op}")
        if unknown := where.keys() - PARAMETERS:
            text = f"Action/metadata line contains an unknown parameter {unknown}"
            raise Refused("illegal_argument_exception", text)
        source = next(lines, None)
        if source is None:
            raise Refused("illegal_argument_exception", "a source is missing")
        yield op, where, source


def _check_name(index: str) -> None:
    wrong = index != index.lower() or index[0] in "-_+" or len(index.encode()) > 255
    if wrong or any(c in '\\/*?"<>| ,#:' for c in index):
        raise Refused("invalid_index_name_exception", f"Invalid index name [{index}]")


def _check_stream(index: str, op: str, document: dict[str, Any]) -> None:
    if op != "create":
        text = "only write ops with an op_type of create are allowed in data streams"
        raise Refused("illegal_argument_exception", text)
    time = document.get("@timestamp")
    if not isinstance(time, str) or not TIME.fullmatch(time):
        text = f"data stream timestamp field [@timestamp] is missing or malformed: {time!r}"
        raise Refused("document_parsing_exception", text)
    names = dict(zip(("type", "dataset", "namespace"), index.split("-", 2), strict=True))
    flat = {f"data_stream.{k}": v for k, v in document.get("data_stream", {}).items()}
    for key, value in {**flat, **document}.items():
        name = key.removeprefix("data_stream.")
        if name in names and key != name and value != names[name]:
            text = f"[constant_keyword] field [{key}] only accepts values that are equal"
            raise Refused("document_parsing_exception", text)


def _parsed(source: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise Refused("document_parsing_exception", "Duplicate field")
        return dict(pairs)

    def constant(name: str) -> None:
        raise Refused("document_parsing_exception", f"Non-standard token '{name}'")

    try:
        found = json.loads(source, object_pairs_hook=once, parse_constant=constant)
    except ValueError as error:
        raise Refused("document_parsing_exception", str(error)) from None
    if not isinstance(found, dict):
        raise Refused("document_parsing_exception", "not an object")
    return found


def _paths(value: dict[str, Any], before: str, free: bool) -> Iterator[tuple[str, bool]]:
    """(dotted path, whether it is an object) of all fields; dots in names part objects."""
    for key, inner in value.items():
        if not key or key.startswith(".") or key.endswith("."):
            raise Refused("document_parsing_exception", f"field name [{key}] is ambiguous")
        path = f"{before}{key}"
        if free and key in ("attributes", "metrics"):
            continue
        parts = path.split(".")
        for depth in range(1, len(parts)):
            yield ".".join(parts[:depth]), True
        objects = inner if isinstance(inner, list) else [inner]
        if any(isinstance(v, dict) for v in objects):
            yield path, True
            for each in objects:
                yield from _paths(each, f"{path}.", free)
        elif inner is not None and inner != []:
            yield path, False


def _error(refused: Refused) -> bytes:
    return json.dumps({"error": refused.as_json(), "status": refused.status}).encode()
