"""What must hold of queues, `publish` and `[[consume]]`, and what becomes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.load import loads
from proxy.config.messaging_expand import OWN, base_of
from proxy.config.redact import shown
from proxy.config.topics import Topic, is_topic
from proxy.config.wire import pack
from proxy.errors import ConfigError
from proxy.server.compile import Compiler
from proxy.upstream.state import Upstreams

GOOD = """
listen = ":8080"
[messaging.kafka.bus]
brokers = "kafka:9092"
[[route]]
path = "/topics/{topic}"
publish = { to = "bus", topic = "{topic}", key = "header:x-key", headers = "x-tenant" }
[upstream.billing]
servers = "http://127.0.0.1:8000"
[[consume]]
from = "bus"
topics = "orders"
group = "billing"
to = "billing"
dead_letter = "{topic}.dead"
"""


def test_short_forms_and_names() -> None:
    config = loads(GOOD, "f.toml", {}).config
    assert config.messaging.kafka["bus"].brokers == ["kafka:9092"]
    (consume,) = config.consume
    assert (consume.name, consume.topics, consume.source) == ("bus/billing", ["orders"], "bus")
    publish = config.route[0].publish
    assert publish is not None
    assert publish.headers == ["x-tenant"]
    alone = GOOD.replace("[[consume]]", "[consume]")
    assert loads(alone, "f.toml", {}).config.consume == config.consume


def test_workers_get_routes_that_compile() -> None:
    loaded = loads(GOOD, "f.toml", {})
    names = [route.name for route in loaded.config.route]
    assert names == ["/topics/{topic}", OWN + "bus/billing"]
    assert loaded.config.listen[1].mode == "0600"
    assert Compiler(loaded.config, Upstreams(), None, loaded.material).run() is not None


def test_a_route_without_queues_is_left_alone() -> None:
    text = 'listen = ":8080"\n[route]\npath = "/a"\nrespond = "b"'
    config = loads(text, "f.toml", {}).config
    assert (len(config.listen), len(config.route), config.upstream) == (1, 1, {})


# what is changed in GOOD, the key that is told, a word of the message or remedy
WRONG = [
    ('to = "bus", topic', 'to = "buss", topic', "route.0.publish.to", "bus"),
    ('from = "bus"', 'from = "rabbit"', "consume.0.from", "no queue 'rabbit'"),
    ('to = "billing"', 'to = "biling"', "consume.0.to", "billing"),
    ('topic = "{topic}"', 'topic = "{name}"', "route.0.publish.topic", "{topic}"),
    ('topic = "{topic}"', 'topic = "a b"', "route.0.publish.topic", "1 to 249"),
    ('topic = "{topic}", ', "", "route.0.publish.topic", "no topic is named"),
    ('"header:x-key"', '"client"', "route.0.publish.key", "no key"),
    ('"header:x-key"', '"path:id"', "route.0.publish.key", "captures topic"),
    ('"header:x-key"', '"nonsense"', "route.0.publish.key", "header:"),
    ('"x-tenant"', '"traceparent"', "route.0.publish.headers", "gateway's own"),
    ('"x-tenant"', '"a b"', "route.0.publish.headers", "header name"),
    ('topics = "orders"', 'topics = "__consumer_offsets"', "consume.0.topics", "1 to 249"),
    ('topics = "orders"\n', "", "consume.0.topics", "no topic is named"),
    ('group = "billing"\n', "", "consume.0.group", "billing"),
    ('"{topic}.dead"', '"orders"', "consume.0.dead_letter", "consumed here"),
    ('"{topic}.dead"', '"{to}.dead"', "consume.0.dead_letter", "{topic}"),
    ('"{topic}.dead"', '"{topic}/dead"', "consume.0.dead_letter", "1 to 249"),
    ('group = "billing"', 'group = "billing"\npath = "in"', "consume.0.path", "/orders"),
    ('group = "billing"', 'group = "b"\nconcurrency = 5000', "consume.0.concurrency", "1024"),
    ('group = "billing"', 'group = "b"\ntimeout = "0s"', "consume.0.timeout", "30s"),
    ('"kafka:9092"', '"kafka"', "messaging.kafka.bus.brokers", "kafka1:9092"),
    ('"kafka:9092"', "[]", "messaging.kafka.bus.brokers", "localhost:9092"),
    ('"kafka:9092"', '"kafka:9092"\nuser = "me"', "messaging.kafka.bus.user", "give both"),
    ('"kafka:9092"', '"kafka:9092"\nmessage = 0', "messaging.kafka.bus.message", "1MiB"),
    ('"kafka:9092"', '"kafka:9092"\ntimeout = 0', "messaging.kafka.bus.timeout", "10s"),
    ('"kafka:9092"', '"kafka:9092"\nbroker = "a"', "messaging.kafka.bus.broker", "brokers"),
    ('"kafka:9092"', '"kafka:9092"\n[messaging.redis.bus]\nserver = "redis://a"',
     "messaging.redis.bus", "another name"),
    ("publish = {", 'rewrite = { strip = "/topics" }\npublish = {', "route.0.rewrite", "published"),
    ("publish = {", 'to = "billing"\npublish = {', "route.0", "exactly once"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key", "word"), WRONG)
def test_what_is_wrong_is_told_with_its_key_and_a_remedy(
    old: str, new: str, key: str, word: str
) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        loads(GOOD.replace(old, new, 1), "f.toml", {})
    told = [p for p in caught.value.problems if not p.warning]
    found = [p for p in told if p.key.replace("[", ".").replace("]", "").startswith(key)]
    assert found, [(p.key, p.message) for p in told]
    assert word in found[0].message + found[0].remedy
    assert found[0].line


def test_dead_letters_that_come_back_are_told() -> None:
    second = GOOD[GOOD.index("[[consume]]") :].replace('"orders"', '"orders.dead"')
    back = second.replace("{topic}.dead", "orders").replace('"billing"', '"again"', 1)
    found = [p.message for p in loads(GOOD + back, "f.toml", {}).warnings]
    assert [m for m in found if "come back to it: orders.dead to orders" in m]
    onward = back.replace('dead_letter = "orders"', 'dead_letter = "orders.lost"')
    found = [p.message for p in loads(GOOD + onward, "f.toml", {}).warnings]
    assert not [m for m in found if "come back" in m]


def test_a_gateway_may_consume_and_nothing_else() -> None:
    route = GOOD[GOOD.index("[[route]]") : GOOD.index("[upstream.billing]")]
    config = loads(GOOD.replace(route, ""), "f.toml", {}).config
    assert [route.name for route in config.route] == [OWN + "bus/billing"]


def test_two_consumers_have_two_names() -> None:
    second = GOOD[GOOD.index("[[consume]]") :]
    with pytest.raises(ConfigError, match="two consumers are called 'bus/billing'"):
        loads(GOOD + second, "f.toml", {})


def test_passwords_are_not_shown() -> None:
    text = GOOD.replace(
        'brokers = "kafka:9092"',
        """brokers = "kafka:9092"
user = "me"
password = "hunter2"
[messaging.redis.jobs]
server = "redis://:hunter2@redis/1\"""",
    )
    loaded = loads(text, "f.toml", {})
    told = shown(loaded)["messaging"]
    assert told["kafka"]["bus"]["user"] == "me"
    assert "hunter2" not in str(told)
    assert not any(b"hunter2" in message for message in pack(loaded.config))  # to workers
    assert any("without TLS" in str(warning) for warning in loaded.warnings)


@given(st.text(max_size=300))
def test_what_a_stranger_names_is_a_topic_or_refused(name: str) -> None:
    made = Topic("{topic}", ("topic",)).fill({"topic": name})
    assert made == name
    if is_topic(name):
        assert 0 < len(name) <= 249
        assert name.isascii()
        assert not set(name) & set("/\\ \0\n:{}%?&#")
        assert name not in (".", "..", "__consumer_offsets")


def _explained(url: str) -> tuple[bool, str]:
    from proxy.explain import explain, read_request

    taken, lines = explain(loads(GOOD, "f.toml", {}), read_request("POST", url, []))
    return taken, "\n".join(lines)


def test_explain_tells_what_is_published_where() -> None:
    taken, told = _explained("http://gw/topics/orders")
    assert taken
    assert "published  to topic 'orders', key header:x-key" in told
    assert "queue      'bus'  kafka:9092" in told
    assert "publish.sock" not in told
    assert _explained("http://gw/topics/a%2Fb") == (False, _explained("http://gw/topics/a%2Fb")[1])
    assert "400: the path names no topic" in _explained("http://gw/topics/a%2Fb")[1]


@pytest.mark.parametrize(
    ("environ", "writable", "base"),
    [
        ({}, {"/tmp", "/dev/shm"}, "/tmp"),
        ({}, {"/dev/shm"}, "/dev/shm"),
        ({}, set(), "/tmp"),  # the error names the usual one
        ({"TMPDIR": "/t"}, {"/tmp"}, "/t"),
        ({"TMPDIR": "/t", "XDG_RUNTIME_DIR": "/run/user/7"}, set(), "/run/user/7"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/x"}, set(), "/run/a"),
    ],
)
def test_where_workers_and_queues_meet(
    environ: dict[str, str], writable: set[str], base: str
) -> None:
    assert base_of(environ, writable.__contains__) == base
