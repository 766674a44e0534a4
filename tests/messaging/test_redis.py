"""Streams of a real redis-server by the same interface."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.messaging_model import Consume, RedisStreams
from proxy.messaging import redis_entries, redis_streams
from proxy.messaging.message import Message
from proxy.messaging.resp import Resp
from tests.harness import DEADLINE
from tests.messaging.kit import (
    CLIENT_KIND,
    CONSUMER_KIND,
    PRODUCER_KIND,
    SERVER_KIND,
    Upstream,
    attributes,
    by_kind,
    consumer,
    gateway,
)
from tests.ports import free_port

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server") or ""
needs_server = pytest.mark.skipif(not PROGRAM, reason="redis-server is not installed")

CONFIG = """
listen = "127.0.0.1:0"
[export]
otlp = "http://127.0.0.1:1"
[messaging.redis.bus]
server = "{url}"
{queue}
[[route]]
path = "/topics/{{topic}}"
publish = {{ to = "bus", topic = "{{topic}}", key = "header:x-key" }}
[[route]]
path = "/orders"
publish = {{ to = "bus", topic = "orders", batch = true }}
{more}
"""
DEAD = 'dead_letter = "{topic}.dead"\nbackoff = "5ms"'


class Server:
    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://:secret@127.0.0.1:{self.port}/2"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        said = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        said += ["--requirepass", "secret"]
        self._process = subprocess.Popen([PROGRAM, *said], stdout=subprocess.DEVNULL)
        async with asyncio.timeout(DEADLINE):
            while True:
                with contextlib.suppress(OSError):
                    await self.ask("PING")
                    return
                await asyncio.sleep(0.01)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def ask(self, *words: Any) -> Any:
        line = await Resp.connect(self.url)
        try:
            return await line.call(*words)
        finally:
            line.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    await made.start()
    try:
        yield made
    finally:
        made.kill()


def config(server: Server, more: str = "", queue: str = "") -> str:
    return CONFIG.format(url=server.url, more=more, queue=queue)


@needs_server
async def test_what_is_published_is_consumed_in_one_trace(server: Server) -> None:
    async with Upstream() as upstream:
        async with gateway(config(server, consumer(upstream.url))) as made:
            status, told = await made.post("/orders", b'[{"text": "x", "key": "k"}]')
            assert status == 200
            (result,) = told["results"]
            await made.until(lambda: upstream.got)
            spans = await made.spans(4)
        chain = [
            by_kind(spans, kind)[0]
            for kind in (SERVER_KIND, PRODUCER_KIND, CONSUMER_KIND, CLIENT_KIND)
        ]
        assert len({span.trace_id for span in spans}) == 1
        for n in range(3):
            assert chain[n + 1].parent_span_id == chain[n].span_id
        ((path, headers, body),) = upstream.got
        assert (path, body) == ("/in/orders", b"x")
        assert (headers["x-message-offset"], headers["x-message-key"]) == (result["offset"], "k")
        found = attributes(chain[2])
        assert (found["messaging.system"], found["messaging.message.id"]) == (
            "redis",
            result["offset"],
        )
        assert not [key for key in found if "kafka" in key]
        # acknowledged, and the member has left
        assert await server.ask("XPENDING", "orders", "billing") == [0, None, None, None]
        ((*group,),) = await server.ask("XINFO", "GROUPS", "orders")
        assert group[group.index(b"consumers") + 1] == 0


@needs_server
async def test_entries_of_others_are_read_as_they_are(server: Server) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await server.ask("XADD", "orders", "*", "id", "1", "traceparent", parent)
    await server.ask("XADD", "orders", "*", "value", b"\xff", "odd", b"\x00\r\n")
    async with Upstream() as upstream:
        async with gateway(config(server, consumer(upstream.url))) as made:
            await made.until(lambda: len(upstream.got) == 2)
            spans = await made.spans(4)
        assert upstream.bodies[1] == b"\xff"
        assert b'"id":"1"' in upstream.bodies[0]
        assert by_kind(spans, CONSUMER_KIND)[0].parent_span_id.hex() == parent.split("-")[2]


@needs_server
async def test_a_poison_entry_goes_to_the_dead(server: Server) -> None:
    async with Upstream() as upstream:

        async def answer(body: bytes, tries: int) -> int:
            return 422 if body == b"poison" else 204

        upstream.answer = answer
        for value in ("poison", "fine"):
            await server.ask("XADD", "orders", "*", "value", value, "key", "k")
        async with gateway(config(server, consumer(upstream.url, DEAD))) as made:
            await made.until(lambda: b"fine" in upstream.bodies)
            ((_, fields),) = await server.ask("XRANGE", "orders.dead", "-", "+")
        found = dict(zip(fields[::2], fields[1::2], strict=True))
        assert (found[b"value"], found[b"key"]) == (b"poison", b"k")
        assert found[b"dead-letter-reason"] == b"422"
        assert upstream.bodies == [b"poison", b"poison", b"poison", b"fine"]
        assert await server.ask("XPENDING", "orders", "billing") == [0, None, None, None]


@needs_server
async def test_a_server_that_is_away_or_silent_is_told(server: Server) -> None:
    async with gateway(config(server, queue='timeout = "3s"')) as made:
        assert (await made.post("/topics/nothing", b"x"))[0] == 404
        assert (await made.post("/orders", b'[{"text": "x"}]'))[0] == 200
        assert (await made.post("/topics/orders", b"x"))[0] == 200
        server.signal(signal.SIGSTOP)
        assert (await made.post("/topics/orders", b"x"))[0] == 504
        server.signal(signal.SIGCONT)
        assert (await made.post("/topics/orders", b"x"))[0] == 200
        server.kill()
        async with asyncio.timeout(8):
            for _ in range(3):
                assert (await made.post("/topics/orders", b"x"))[0] == 503
        await server.start()
        async with asyncio.timeout(DEADLINE):
            while (await made.post("/orders", b'[{"text": "x"}]'))[0] != 200:
                await asyncio.sleep(0.02)


@needs_server
async def test_what_a_dead_member_left_is_taken_over(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_streams, "IDLE", 0.05)
    monkeypatch.setattr(redis_streams, "CARE", 0.05)
    await server.ask("XADD", "orders", "*", "value", "left")
    await server.ask("XGROUP", "CREATE", "orders", "billing", "0")
    taken = await server.ask(
        "XREADGROUP", "GROUP", "billing", "dead", "COUNT", 1, "STREAMS", "orders", ">"
    )
    assert taken
    async with Upstream() as upstream:
        async with gateway(config(server, consumer(upstream.url))) as made:
            await made.until(lambda: upstream.bodies)
        assert upstream.bodies == [b"left"]
        assert await server.ask("XPENDING", "orders", "billing") == [0, None, None, None]


@needs_server
async def test_streams_keep_about_so_many(server: Server) -> None:
    async with gateway(config(server, queue="maxlen = 10")) as made:
        batch = b"[" + b",".join([b'{"text":"x"}'] * 1000) + b"]"
        assert (await made.post("/orders", batch))[0] == 200
    assert await server.ask("XLEN", "orders") < 500


@given(st.lists(st.binary(max_size=8), max_size=9))
def test_any_fields_are_an_entry(fields: list[bytes]) -> None:
    made = redis_entries.read("orders", "1-2", fields)
    assert (made.offset, made.time) == ("1-2", 1)


@pytest.mark.parametrize(
    "reply", [b"?\r\n", b"$99999999999\r\n", b"*1\r\n" * 20, b":x\r\n", b"$3\r\nab"]
)
async def test_what_is_no_resp_is_an_error(reply: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(reply)
    reader.feed_eof()

    class Writer:
        def write(self, data: bytes) -> None:
            return None

        async def drain(self) -> None:
            return None

    line = Resp(reader, Writer())  # type: ignore[arg-type]
    with pytest.raises(OSError, match=r"RESP|closed"):
        await line.call("PING")
    assert line.is_broken


@needs_server
@pytest.mark.parametrize("entry", ["*", "1-1"])
async def test_what_comes_after_a_flush_is_consumed(server: Server, entry: str) -> None:
    """The group is gone (NOGROUP), and what is in the stream by then is new, whatever its ids."""
    async with Upstream() as upstream:
        text = config(server, consumer(upstream.url, 'start = "latest"'))
        async with gateway(text) as made:
            await made.until(lambda: made.numbers("spangate.consumer.lag"))
            await server.ask("XADD", "orders", "*", "value", "before")
            await made.until(lambda: upstream.bodies == [b"before"])
            line = await Resp.connect(server.url)
            await line.calls([("FLUSHALL",), ("XADD", "orders", entry, "value", "after")])
            line.close()
            await made.until(lambda: upstream.bodies == [b"before", b"after"])
            await server.ask("XGROUP", "DESTROY", "orders", "billing")
            await server.ask("XADD", "orders", "*", "value", "last")
            await made.until(lambda: upstream.bodies == [b"before", b"after", b"last"])


@contextlib.asynccontextmanager
async def scripted(
    *answers: tuple[bytes, bytes],
    topics: Sequence[str] = ("orders",),
) -> AsyncIterator[tuple[redis_streams.RedisConsumer, list[bytes]]]:
    """A consumer of a server that answers to commands that begin so, each answer once but the last
    one of its command."""
    left, came = list(answers), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = Resp(reader, writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                words = b" ".join(await asked._reply(8))
                came.append(words)
                found = [one for one in left if words.startswith(one[0])]
                if len(found) > 1:
                    left.remove(found[0])
                writer.write(found[0][1] if found else b"+OK\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    said = Consume(name="c", source="bus", topics=list(topics), group="billing", to="x")
    made = redis_streams.RedisConsumer(RedisStreams(server=url), said)
    try:
        yield made, came
    finally:
        await made.stop(0.0)
        server.close()


GROUPS = b"*1\r\n*4\r\n$4\r\nname\r\n$7\r\nbilling\r\n$17\r\nlast-delivered-id\r\n$3\r\n0-0\r\n"
ONE = b"*1\r\n*2\r\n$6\r\norders\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"
IDLE = (b"XAUTOCLAIM", b"*2\r\n$3\r\n0-0\r\n*0\r\n")


async def test_a_group_is_made_again_where_all_of_its_members_had_brought_it() -> None:
    """And not where the first one to notice had taken something last: others went on since."""
    group = b"*4\r\n$4\r\nname\r\n$7\r\nbilling\r\n$17\r\nlast-delivered-id\r\n$3\r\n%b\r\n"
    newest = b"*2\r\n$17\r\nlast-generated-id\r\n$3\r\n9-0\r\n"
    answers = [
        (b"XINFO GROUPS", GROUPS),
        (b"XINFO GROUPS", b"*1\r\n" + group % b"7-0"),
        (b"XREADGROUP", ONE),
        (b"XREADGROUP", b"-NOGROUP No such consumer group\r\n"),
        (b"EXISTS", b":1\r\n"),
        (b"XINFO STREAM", newest),
    ]
    async with scripted(IDLE, *answers) as (made, came):
        (taken,) = await made.take(1, 0.1)
        assert taken.offset == "1-1"
        await made.lag()
        with pytest.raises(OSError, match="NOGROUP"):
            await made.take(1, 0.1)
        with pytest.raises(OSError, match="NOGROUP"):
            await made.take(1, 0.1)
        begun = [one for one in came if one.startswith(b"XGROUP CREATE")]
        assert begun == [
            b"XGROUP CREATE orders billing 0 MKSTREAM",
            b"XGROUP CREATE orders billing 7-0 MKSTREAM",
        ]


async def test_an_acknowledgement_that_is_refused_for_now_comes_again() -> None:
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    answers = [(b"XACK", loading), (b"XACK", b":1\r\n"), (b"XREADGROUP", ONE)]
    async with scripted((b"XINFO GROUPS", GROUPS), IDLE, *answers) as (made, came):
        (taken,) = await made.take(1, 0.1)
        made.done(taken)
        await made.commit()
        await made.commit()
        await made.commit()
    assert [one for one in came if one.startswith(b"XACK")] == [b"XACK orders billing 1-1"] * 2


async def test_what_was_claimed_before_a_look_failed_is_claimed_again() -> None:
    claimed = b"*2\r\n$3\r\n0-0\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    answers = [
        (b"XAUTOCLAIM orders", claimed),
        (b"XAUTOCLAIM bills", loading),
        (b"XAUTOCLAIM bills", IDLE[1]),
    ]
    topics = ["orders", "bills"]
    async with scripted((b"XINFO GROUPS", GROUPS), *answers, topics=topics) as (made, _):
        with pytest.raises(OSError, match="LOADING"):
            await made.take(2, 0.1)
        (taken,) = await made.take(2, 0.1)
        assert taken.offset == "1-1"


@needs_server
async def test_a_broken_second_connection_is_made_anew_and_told_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    said = Consume(name="c", source="bus", topics=["orders"], group="billing", to="x")
    made = redis_streams.RedisConsumer(RedisStreams(server=server.url), said)
    assert await made.take(1, 0.01) == []
    await server.ask("XADD", "orders", "*", "value", "1")
    (taken,) = await made.take(1, DEADLINE)
    made.done(taken)
    assert made._line is not None
    made._line._writer.transport.abort()
    await made.commit()
    await made.commit()
    assert await made.take(1, 0.01) == []
    await made.commit()
    assert await server.ask("XPENDING", "orders", "billing") == [0, None, None, None]
    await made.stop(0.0)
    assert [getattr(r, "key", "") for r in caplog.records].count("consumer.commit") == 1


@needs_server
async def test_all_that_is_published_at_once_goes_by_one_connection(server: Server) -> None:
    producer = redis_streams.RedisProducer("bus", RedisStreams(server=server.url))
    await server.ask("PING")
    before = await connections(server)
    message = Message(b"1")
    await asyncio.gather(*(producer.send("orders", [message], True) for _ in range(8)))
    assert await connections(server) == before + 1 + 1  # and that of the question
    await producer.stop(0.0)


async def connections(server: Server) -> int:
    """That were ever made."""
    (found,) = re.findall(rb"total_connections_received:(\d+)", await server.ask("INFO", "stats"))
    return int(found)


@pytest.mark.parametrize(
    ("command", "answer", "why"),
    [
        (b"XGROUP", b"-LOADING Redis is loading the dataset\r\n", "orders: LOADING"),
        (b"XGROUP", b"-WRONGTYPE Operation against a key\r\n", "orders: WRONGTYPE"),
        (b"XINFO", b":7\r\n", "none of a server with streams"),
        (b"XREADGROUP", b"-NOGROUP No such key\r\n", "NOGROUP"),
        (b"XREADGROUP", b":7\r\n", "none of a server with streams"),
        (b"XREADGROUP", b"+OK\r\n", "none of a server with streams"),
        (b"XREADGROUP", b"*1\r\n:7\r\n", "none of a server with streams"),
        (b"XREADGROUP", b"*1\r\n*2\r\n$1\r\no\r\n:7\r\n", "none of a server with streams"),
        (b"XREADGROUP", ONE.replace(b"1-1", b"x-x"), "none of a server with streams"),
        (b"XAUTOCLAIM", b"*0\r\n", "none of a server with streams"),
    ],
)
async def test_answers_of_any_form_are_told(command: bytes, answer: bytes, why: str) -> None:
    good = [(b"XINFO GROUPS", GROUPS), IDLE, (b"XREADGROUP", ONE)]
    async with scripted((command, answer), *good, (b"XGROUP", b"+OK\r\n")) as (made, _):
        with pytest.raises(OSError, match=why):
            await made.take(1, 0.1)
        async with asyncio.timeout(DEADLINE):
            assert [one.offset for one in await made.take(1, 0.1)] == ["1-1"]


@needs_server
async def test_who_leaves_a_group_takes_nobody_elses_messages_along(server: Server) -> None:
    """Two consumers of one gateway may be in one group; a member that is deleted loses all that it
    has not acknowledged."""
    settings = RedisStreams(server=server.url)
    said = Consume(topics=["orders"], group="billing")
    await server.ask("XADD", "orders", "*", "value", "1")
    one = redis_streams.RedisConsumer(settings, said)
    other = redis_streams.RedisConsumer(settings, said)
    assert [taken.value for taken in await one.take(1, 0.1)] == [b"1"]
    assert await other.take(1, 0.1) == []
    await other.stop(1.0)
    assert (await server.ask("XPENDING", "orders", "billing"))[0] == 1
    await one.stop(1.0)
    assert (await server.ask("XPENDING", "orders", "billing"))[0] == 1  # it comes again
