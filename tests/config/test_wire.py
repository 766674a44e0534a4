"""A configuration arrives in a worker as it left the hub, whatever keys it says."""

from __future__ import annotations

from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.load import loads
from proxy.config.messaging_model import Messaging
from proxy.config.model import Config, Route, Upstream
from proxy.config.units import Seconds, Share, Size
from proxy.config.wire import AT_ONCE, Unpacker, pack

WORDS = st.text("abcxyz/{}*~ü", min_size=1, max_size=8)
NUMBERS = st.integers(1, 599)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type of the model."""
    origin, args = get_origin(kind), get_args(kind)
    if hasattr(kind, "__metadata__"):  # Annotated
        return st.from_regex(r"\A[a-z]{1,8}\Z") if kind.__origin__ is str else st.integers(100, 599)
    if origin is Literal:
        return st.sampled_from(args)
    if origin is list:
        return st.lists(values(args[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(values(args[0]), values(args[1]), max_size=2)
    if origin is Union or (args and origin is not None and type(None) in args):
        return st.one_of(*(values(a) for a in args))
    if args:
        return st.one_of(*(values(a) for a in args))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        Seconds: st.floats(0, 1e6).map(Seconds),
        Share: st.floats(0, 1).map(Share),
        Size: st.integers(0, 2**40).map(Size),
        str: WORDS,
        bool: st.booleans(),
        int: NUMBERS,
        type(None): st.none(),
        Any: WORDS,
    }
    return plain[kind]


def structs(cls: Any) -> st.SearchStrategy[Any]:
    """A struct with every key set, or left out."""
    fields = {f.name: values(f.type) for f in msgspec.structs.fields(cls)}
    required = {f.name: fields.pop(f.name) for f in msgspec.structs.fields(cls) if f.required}
    every = st.fixed_dictionaries({**required, **fields})
    some = st.fixed_dictionaries(required, optional=fields)
    return st.one_of(every, some).map(lambda chosen: cls(**chosen))


def sent(config: Config) -> Config:
    unpacker = Unpacker()
    *first, last = pack(config)
    assert [unpacker.feed(message) for message in first] == [None] * len(first)
    arrived = unpacker.feed(last)
    assert arrived is not None
    return arrived


@settings(max_examples=60, deadline=None)
@given(structs(Config))
def test_any_configuration_arrives(config: Config) -> None:
    arrived = sent(config)
    admin = msgspec.structs.replace(config.admin, token="")  # no worker is told, nor of queues
    told = msgspec.structs.replace(config, admin=admin, messaging=Messaging(), consume=[])
    assert arrived == told
    assert list(arrived.upstream) == list(config.upstream)
    assert type(arrived.drain_timeout) is Seconds
    assert type(arrived.tracing.sample) is Share
    assert type(arrived.limits.body) is Size


def test_many_routes_come_in_small_messages() -> None:
    routes = [Route(path=f"/{i}", to={f"u{i}": 1}) for i in range(AT_ONCE + 1)]
    upstreams = {f"u{i}": Upstream(servers={"http://a": 1}) for i in range(AT_ONCE + 1)}
    config = Config(route=routes, upstream=upstreams)
    assert [message[:1] for message in pack(config)] == [b"H", b"U", b"U", b"R", b"R", b"E"]
    assert sent(config) == config


def test_upstreams_that_say_the_same_arrive_as_one() -> None:
    text = "".join(f'[upstream.u{i}]\nservers = "http://a"\npanic = 0.5\n' for i in range(300))
    config = loads(
        text + '[upstream.v]\nservers = "http://b"\n[[route]]\nto = "v"\n', "x", {}
    ).config
    arrived = sent(config)
    assert arrived == config
    assert list(arrived.upstream) == list(config.upstream)
    for one in (config, arrived):
        assert len({id(upstream) for upstream in one.upstream.values()}) == 2


def test_what_came_from_the_environment_arrives_as_plain_text() -> None:
    text = 'resource = { team = "${TEAM}" }\n[[route]]\npath = "/${TEAM}"\nrespond = {}'
    config = loads(text, "x.toml", {"TEAM": "shop"}).config
    arrived = sent(config)
    assert arrived == config
    assert type(arrived.resource["team"]) is str and type(arrived.route[0].path) is str


@pytest.mark.parametrize(
    "messages",
    [
        [b""],
        [b"X"],
        [b"E"],
        [b"H"],
        [b"H\xc1"],
        [b"H\x81\xa5paths\x01"],  # an unknown key
        [b"H\x80", b"R\x80"],
        [b"R\x91\x81\xa4path\x01"],
        [b"U\x81\xa1u\x81\xa7servers\x81\xa8http://a\xa1x"],
    ],
)
def test_what_is_no_configuration_is_refused(messages: list[bytes]) -> None:
    unpacker = Unpacker()
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        for message in messages:
            unpacker.feed(message)
