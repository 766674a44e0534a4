"""Keys of issuers, from the issuer to the workers of a real gateway."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.access.tokens import AUDIENCE, ISSUER, jwk, jwks, private
from tests.hub.gateway import Gateway, children, fetch, gateway, until
from tests.hub.issuer import Issuer, bearer, issuer
from tests.ports import free_port

CONFIG = """
[[listen]]
address = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[auth.staff]
jwt = {{ issuer = "{issuer}", audience = ["{audience}"], jwks = "{url}", {more} }}
[[route]]
path = "/*"
auth = "staff"
respond = {{ status = 200, body = "in" }}
"""


def config(url: str, more: str = 'refresh = "1h"') -> str:
    return CONFIG.format(issuer=ISSUER, audience=AUDIENCE, url=url, more=more)


def ask(hub: Gateway, kid: str = "k1", number: int = 0) -> int:
    return fetch(hub.port, "/", bearer(kid, number))[0]


def fetches(hub: Gateway, result: str) -> float:
    labels = (("result", result), ("spangate_check", "staff"))
    return hub.values().get(("spangate_jwks_fetches_total", labels), 0.0)


@pytest.fixture
def idp() -> object:
    with issuer() as made:
        yield made


def test_keys_are_there_when_the_gateway_says_that_it_is_ready(idp: Issuer, tmp_path: Path) -> None:
    with gateway(tmp_path, config(idp.url), workers=2) as hub:
        assert {ask(hub) for _ in range(8)} == {200}
        assert ask(hub, number=1) == 401
        assert len(idp.asked) == 1, "it is fetched once for all workers"
        labels = (("spangate_check", "staff"),)
        assert hub.values()[("spangate_jwks_keys", labels)] == 1
        assert hub.values()[("spangate_jwks_time_seconds", labels)] > 1e9
        assert fetches(hub, "success") == 1


def test_a_new_key_is_fetched_when_a_token_names_it_and_inventions_are_not(
    idp: Issuer, tmp_path: Path
) -> None:
    with gateway(tmp_path, config(idp.url), workers=2) as hub:
        idp.publish("k1", "k2", number=1)
        assert ask(hub, "k2", 1) == 200
        assert len(idp.asked) == 2
        assert ask(hub, "k1", 0) == 401, "what was k1 before counts no more"
        assert {ask(hub, f"invented{n}") for n in range(20)} == {401}
        assert len(idp.asked) == 2, "not more often than every 30 seconds"
        assert ask(hub, "k1", 1) == 200


def test_a_request_does_not_wait_for_an_issuer_that_hangs(idp: Issuer, tmp_path: Path) -> None:
    with gateway(tmp_path, config(idp.url), workers=1) as hub:
        idp.go.clear()
        assert ask(hub, "k2") == 401
        assert len(idp.asked) == 2 and not idp.go.is_set()
        assert ask(hub) == 200


def test_without_keys_the_answer_is_503_until_the_issuer_is_there(tmp_path: Path) -> None:
    port = free_port()
    with gateway(tmp_path, config(f"http://127.0.0.1:{port}/jwks"), workers=1) as hub:
        status, headers, _ = fetch(hub.port, "/", bearer())
        assert (status, headers["retry-after"]) == (503, "5")
        assert fetch(hub.port, "/")[0] == 401
        hub.wait_for_line(r"keys of auth\.staff: .*; tokens cannot be verified")
        with issuer(port):
            until(lambda: ask(hub) == 200)
        assert ask(hub) == 200
        assert fetches(hub, "failure") >= 1 <= fetches(hub, "success")


def test_what_is_known_stays_when_the_issuer_lies_and_ends_when_it_is_too_old(
    idp: Issuer, tmp_path: Path
) -> None:
    text = config(idp.url, 'refresh = "1s", stale = "4s"')
    with gateway(tmp_path, text, workers=1) as hub:
        assert ask(hub) == 200
        idp.body = b'{"keys": []}'
        hub.wait_for_line(r"the answer has no key that can be used; those that are known stay")
        assert ask(hub) == 200
        hub.wait_for_line(r"keys of auth\.staff are too old")
        until(lambda: ask(hub) == 503)
        idp.body = None
        until(lambda: ask(hub) == 200)


def test_a_reload_fetches_what_is_new_alone(idp: Issuer, tmp_path: Path) -> None:
    with gateway(tmp_path, config(idp.url), workers=1) as hub:
        hub.rewrite(config(idp.url, 'refresh = "2h"'))
        until(lambda: hub.values()["spangate_config_generation", ()] == 2)
        assert ask(hub) == 200
        assert len(idp.asked) == 1
        with issuer() as other:
            other.publish("k1", number=1)
            hub.rewrite(config(other.url))
            until(lambda: ask(hub, number=1) == 200)
            assert ask(hub) == 401, "the keys of the issuer before do not count"


def test_a_worker_that_is_replaced_has_them_too(idp: Issuer, tmp_path: Path) -> None:
    with gateway(tmp_path, config(idp.url), workers=1) as hub:
        (old,) = children(hub.process.pid, "proxy.server")
        os.kill(old, signal.SIGKILL)
        until(lambda: set(children(hub.process.pid, "proxy.server")) - {old})

        def answered() -> bool:
            try:
                return ask(hub) == 200
            except OSError:
                return False

        until(answered)
        assert len(idp.asked) == 1


def test_a_file_of_keys_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(jwk(private(), kid="k1")))
    with gateway(tmp_path, config("keys.json"), workers=1) as hub:
        assert ask(hub) == 200
        new = tmp_path / "keys.new"
        new.write_bytes(jwks(jwk(private("RSA", 1), kid="k1")))
        new.replace(file)
        until(lambda: ask(hub, number=1) == 200)
        assert ask(hub) == 401
