"""What must hold of `[messaging]`, `publish` of a route and `[[consume]]`."""

from __future__ import annotations

from importlib.util import find_spec

import msgspec

from proxy.config.checks import attempt, check_field_name
from proxy.config.locate import Path
from proxy.config.messaging_model import Consume, Kafka, Publish, RedisStreams
from proxy.config.model import Config, Route
from proxy.config.rates import parse_key, parse_redis
from proxy.config.report import Report, suggestion
from proxy.config.syntax import parse_address
from proxy.config.topics import RULE, Topic, is_topic

# A gateway writes these into messages and requests itself.
OWN_HEADERS = frozenset(
    {
        "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled",
        "x-b3-flags", "x-b3-parentspanid", "host", "connection", "content-length", "te",
        "transfer-encoding", "keep-alive", "trailer", "upgrade", "content-type", "expect",
    }
)  # fmt: skip
MOST_CONCURRENCY = 1024
_CODECS = {"snappy": "cramjam", "lz4": "cramjam", "zstd": "cramjam"}  # aiokafka's


def check_messaging(config: Config, report: Report) -> None:
    for name, kafka in config.messaging.kafka.items():
        if not report.has_failed("messaging", "kafka", name):
            _kafka(kafka, ("messaging", "kafka", name), report)
    for name, redis in config.messaging.redis.items():
        place: Path = ("messaging", "redis", name)
        if name in config.messaging.kafka:
            report.error(place, f"two queues are called {name!r}", "give one another name")
        if not report.has_failed(*place):
            _redis(redis, place, report)
    for i, route in enumerate(config.route):
        if isinstance(route, Route) and route.publish is not None:
            _publish(route, route.publish, ("route", i, "publish"), config, report)
    named: dict[str, int] = {}
    for i, consume in enumerate(config.consume):
        if isinstance(consume, Consume):
            _consume(consume, ("consume", i), config, report)
            _name(consume, i, named, report)
    _circles(config.consume, report)


def with_consumer_names(config: Config) -> Config:
    """Consumers without a name are called by their queue and group."""
    if not config.consume:
        return config
    named = [
        msgspec.structs.replace(one, name=f"{one.source}/{one.group}")
        if isinstance(one, Consume) and not one.name
        else one
        for one in config.consume
    ]
    return msgspec.structs.replace(config, consume=named)


def _kafka(kafka: Kafka, place: Path, report: Report) -> None:
    if find_spec("aiokafka") is None:
        report.error(place, "Kafka needs aiokafka", 'pip install "spangate[kafka]"')
    if not kafka.brokers and not report.is_broken(*place, "brokers"):
        report.error((*place, "brokers"), "at least one broker", 'write ["localhost:9092"]')
    for i, broker in enumerate(kafka.brokers):
        if not report.is_broken(*place, "brokers", i):
            _broker(broker, (*place, "brokers", i), report)
    if bool(kafka.user) != bool(kafka.password):
        report.error((*place, "user"), "`user` and `password` come together", "give both")
    if kafka.ca and not kafka.tls:
        report.warn((*place, "ca"), "without TLS nobody is asked for a certificate", "tls = true")
    if kafka.user and not kafka.tls:
        report.warn((*place, "user"), "the password is sent without TLS", "write tls = true")
    module = _CODECS.get(kafka.compression, "")
    if module and find_spec(module) is None:
        remedy = 'pip install "spangate[kafka]"'
        report.error((*place, "compression"), f"{kafka.compression} needs {module}", remedy)
    _sizes(kafka, place, report)


def _broker(text: str, place: Path, report: Report) -> None:
    try:
        host, port = parse_address(text)
    except ValueError:
        host, port = "", 0
    if not host or not port:
        report.error(place, f"{text!r} is no broker", 'write "kafka1:9092"')


def _redis(redis: RedisStreams, place: Path, report: Report) -> None:
    if not report.is_broken(*place, "server"):
        attempt(parse_redis, redis.server, (*place, "server"), report)
    _sizes(redis, place, report)


def _sizes(queue: Kafka | RedisStreams, place: Path, report: Report) -> None:
    if queue.message <= 0 and not report.is_broken(*place, "message"):
        report.error((*place, "message"), "a message cannot be so small", 'write "1MiB"')
    if queue.timeout <= 0 and not report.is_broken(*place, "timeout"):
        message = "somebody waits for each acknowledgement, and not for ever"
        report.error((*place, "timeout"), message, 'write "10s"')


def _queue(name: str, place: Path, config: Config, report: Report) -> None:
    known = [*config.messaging.kafka, *config.messaging.redis]
    if name not in known and not report.is_broken("messaging") and not report.is_broken(*place):
        remedy = suggestion(name, known) or f"add [messaging.kafka.{name or 'NAME'}]"
        report.error(place, f"there is no queue {name!r}", remedy)


def _publish(route: Route, said: Publish, place: Path, config: Config, report: Report) -> None:
    from proxy.routing.pattern import parse

    _queue(said.to, (*place, "to"), config, report)
    if report.is_broken(*place[:-1], "path"):
        return
    captures = parse(route.path).captures
    _template(said.topic, captures, (*place, "topic"), report)
    if said.key and not report.is_broken(*place, "key"):
        try:
            kind, name = parse_key(said.key)
        except ValueError as error:
            report.error((*place, "key"), str(error).replace('"client", ', ""))
        else:
            _key(kind, name, captures, (*place, "key"), report)
    _headers(said.headers, (*place, "headers"), report)
    for key in ("rewrite", "mirror", "split"):
        if getattr(route, key) is not None:
            message = f"`{key}` is for what is forwarded, and this is published"
            report.error((*place[:-1], key), message, "leave it out")


def _key(kind: str, name: str, captures: tuple[str, ...], place: Path, report: Report) -> None:
    if kind == "path" and name not in captures:
        known = ", ".join(captures) or "nothing"
        report.error(place, f"the route's path has no {{{name}}}: it captures {known}")
    elif kind == "client":
        report.error(place, "a client's address is no key", 'write "header:x-key"')


def _template(text: str, known: tuple[str, ...], place: Path, report: Report) -> None:
    if report.is_broken(*place):
        return
    if not text:
        example = f"{{{known[0]}}}" if known else "orders"
        report.error(place, "no topic is named", f'write topic = "{example}"')
    else:
        attempt(lambda t: Topic(t, known), text, place, report)


def _headers(names: list[str], place: Path, report: Report) -> None:
    for i, name in enumerate(names):
        if report.is_broken(*place, i):
            continue
        check_field_name(name, (*place, i), report)
        if name.lower() in OWN_HEADERS:
            message = f"{name} is the gateway's own, or the connection's"
            report.error((*place, i), message, "leave it out")


def _consume(said: Consume, place: Path, config: Config, report: Report) -> None:
    _queue(said.source, (*place, "from"), config, report)
    if said.to not in config.upstream and not report.is_broken("upstream"):
        remedy = suggestion(said.to, config.upstream) or f"add [upstream.{said.to or 'NAME'}]"
        report.error((*place, "to"), f"there is no upstream {said.to!r}", remedy)
    _topics(said, place, report)
    if not said.group and not report.is_broken(*place, "group"):
        message = "without a group nobody remembers what was read"
        report.error((*place, "group"), message, 'write group = "billing"')
    if not said.path.startswith("/") or not said.path.isascii() or not said.path.isprintable():
        report.error((*place, "path"), f"{said.path!r} is not a path", 'write "/orders"')
    elif said.path.replace("{topic}", "").strip("/").count("{"):
        report.error((*place, "path"), "only {topic} is known here", 'write "/orders/{topic}"')
    if said.concurrency > MOST_CONCURRENCY:
        report.error((*place, "concurrency"), f"at most {MOST_CONCURRENCY} at once")
    if said.timeout <= 0:
        report.error((*place, "timeout"), "a message is not waited for forever", 'write "30s"')
    _headers(said.headers, (*place, "headers"), report)


def _topics(said: Consume, place: Path, report: Report) -> None:
    if not said.topics and not report.is_broken(*place, "topics"):
        report.error((*place, "topics"), "no topic is named", 'write topics = ["orders"]')
    for i, topic in enumerate(said.topics):
        if not report.is_broken(*place, "topics", i) and not is_topic(topic):
            report.error((*place, "topics", i), f"{topic!r} is not a topic", RULE)
    if not said.dead_letter or report.is_broken(*place, "dead_letter"):
        return
    where: Path = (*place, "dead_letter")
    if not attempt(lambda t: Topic(t, ("topic",)), said.dead_letter, where, report):
        return
    made = Topic(said.dead_letter, ("topic",))
    for topic in said.topics:
        dead = made.fill({"topic": topic})
        if dead in said.topics:
            message = f"dead letters of {topic!r} go to {dead!r}, which is consumed here"
            report.error(where, message, 'write "{topic}.dead"')
        elif not is_topic(dead):
            report.error(where, f"dead letters of {topic!r} go to {dead!r}", RULE)


def _circles(consumers: list[Consume], report: Report) -> None:
    """Dead letters that another consumer gives back to the first: nothing ends that."""
    if report.is_broken("consume"):
        return  # some of them are none
    graves = {
        (one.source, topic): one.dead_letter.replace("{topic}", topic)
        for one in consumers
        for topic in one.topics
        if one.dead_letter
    }
    for i, one in enumerate(consumers):
        for topic in one.topics:
            passed = [topic]
            dead = graves.get((one.source, topic), "")
            while dead and dead not in passed:
                passed.append(dead)
                dead = graves.get((one.source, dead), "")
            if dead == topic and len(passed) > 1:
                message = f"dead letters of {topic!r} come back to it: {' to '.join(passed)}"
                report.warn(("consume", i, "dead_letter"), message, "end with a topic of its own")


def _name(consume: Consume, index: int, named: dict[str, int], report: Report) -> None:
    if consume.name in named and not report.is_broken("consume", index):
        message = f"two consumers are called {consume.name!r}"
        report.error(("consume", index, "name"), message, "give each a `name`")
    elif not consume.name.isprintable():
        report.error(("consume", index, "name"), "a name is one line of visible characters")
    named.setdefault(consume.name, index)
