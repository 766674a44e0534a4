"""A path that is denied or guarded is not reached by another spelling of it.

A row is one spelling, as the bytes of a request line. It is first proven to be one: a server that
reads paths as the most generous ones do (it decodes, knows path parameters, takes backslashes for
slashes, and capitals for small letters) serves the guarded resource for it. Through the gateway no
request may come to that server which it takes for that resource, with every kind of guard.
"""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

from proxy.config.load import loads
from proxy.routing.passed_by import passed_by
from tests.harness import Backend, Peer, gateway
from tests.server.h2_kit import h2_client
from tests.server.kit import reply


def words(text: str) -> list[str]:
    return text.split()


PLAIN = words(r"""
    /admin/x /admin/x? /admin/x?a=b /admin/x/ /admin /admin/ /admin? /admin/. /admin/x/..
    //admin/x ///admin//x /admin//x /./admin/x /admin/./x /././admin/x /a/../admin/x
    /a/b/../../admin/x /a//..//admin/x /admin/y/../x /a/./../admin/x /admin/x/.
    /%61dmin/x /%61%64%6d%69%6e/x /%61%64%6D%69%6E/%78 /adm%69n/x /admin/%78 /%61dmin
    /%2e/admin/x /a/%2e%2e/admin/x /a/.%2e/admin/x /a/%2E./admin/x /a/%2E%2e/%61dmin/x
    /a/..;/admin/x /a/..;x=y/admin/x /a/%2e%2e;/admin/x /.;/admin/x /a/..%3B/admin/x
    /a/..%2Fadmin/x /a/..%2fadmin/x /a%2F../admin/x /a%2f..%2fadmin/x /a/%2e%2e%2fadmin/x
    \admin\x /\admin\x /admin\x /a/..\admin\x /admin%5Cx /a/..%5Cadmin/x /%5cadmin/x
    /admin%00/x /admin%09/x /admin%0d/x /admin%0A/x /%7Fadmin/x admin/x /admin/x#a
    http://gateway.test/admin/x HTTP://GATEWAY.TEST/admin/x http://gateway.test//admin/x
    http://gateway.test:80/%61dmin/x http://other.test/admin/x http://gateway.test/a/../admin/x
""")
# By the key of the route that takes all the rest, with which it says what it wants.
OTHERS = {
    "path_parameters": words("""
        /admin;/x /admin;x/x /admin;a=b;c/x /;x/admin/x /admin%3Bx/x /admin;x=%2F/x /a/../admin;/x
        /admin;x /%61dmin;x/x http://gateway.test/admin;x/x
    """),
    "encoded_slash": words("""
        /admin%2Fx /admin%2fx /%2Fadmin/x /%2fadmin%2Fx /admin%2F%2Fx /%61dmin%2fx
        http://gateway.test/admin%2Fx /admin%2F
    """),
    "upper_case": words("""
        /ADMIN/x /Admin/x /aDmIn/X /%41dmin/x /a/../ADMIN/x //Admin/x /ADMIN
        http://gateway.test/ADMIN/x
    """),
}
ALL = [*PLAIN, *(path for paths in OTHERS.values() for path in paths)]

SECRET = b"the guarded resource"
KEY = "sha256:" + hashlib.sha256(b"a key that nobody shows").hexdigest()
CHECK = '[auth.keys]\napi_key = {{ file = "{folder}/keys.toml" }}\n'
GUARDS = {
    "respond": "respond = { status = 403 }",
    "auth": 'to = "b"\nauth = "keys"',
    "all of": 'to = "b"\nauth = { all = ["keys"] }',
    "deny": 'to = "b"\ndeny = ["127.0.0.0/8", "::1"]',
    "allow": 'to = "b"\nallow = "192.0.2.1"',
}
SAYS = "\n".join(f'{key} = "reject"' for key in OTHERS)
ROUTES = """
listen = "127.0.0.1:0"
{check}
[[route]]
path = "/admin/*"
{guard}
[[route]]
name = "rest"
to = "b"
auth = "none"
{says}
[upstream.b]
servers = ["{url}"]
"""


def serves(target: bytes) -> bool:
    """Whether that server takes a request target for the guarded resource."""
    text = target.decode("latin-1").split("#")[0]
    path = urlsplit(text).path if re.match("(?i)http://", text) else text.partition("?")[0]
    path = unquote_to_bytes(path).decode("latin-1").replace("\\", "/")
    path = "".join(c for c in path if " " < c < "\x7f")
    path = "/".join(segment.partition(";")[0] for segment in path.split("/"))
    path = posixpath.normpath("/" + path.lstrip("/")).lower()
    return path == "/admin" or path.startswith("/admin/")


async def generous(peer: Peer) -> None:
    """Serves requests so."""
    while True:
        head = await peer.head()
        target = head.partition(b" ")[2].rpartition(b" HTTP/")[0]
        peer.write(reply(200, SECRET if serves(target) else b"something else"))


@pytest.fixture
def check(tmp_path: Path) -> str:
    (tmp_path / "keys.toml").write_text(f'[[key]]\nname = "shop"\nhash = "{KEY}"\n')
    return CHECK.format(folder=tmp_path)


def routes(backend: Backend, check: str, guard: str, says: str = SAYS) -> str:
    return ROUTES.format(check=check, guard=guard, says=says, url=backend.url)


async def asked(port: int, target: str) -> bytes:
    """The answer to a request of which the target is sent as it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET {target} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
    writer.write(head.encode("latin-1"))
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", answer)
        answer += await reader.readexactly(int(length[1]) if length else 0)
    writer.close()
    return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def reached(backend: Backend) -> list[bytes]:
    """What came to the server that it takes for the guarded resource."""
    targets = [head.split(b" ")[1] for head in backend.heads]
    return [target for target in targets if serves(target)]


def test_there_are_many_spellings() -> None:
    assert len(set(ALL)) == len(ALL) > 80


async def test_each_is_a_spelling_of_the_guarded_path() -> None:
    async with Backend(generous) as backend:
        for target in ALL:
            assert (await asked(backend.port, target)).endswith(SECRET), target


async def test_they_arrive_where_nothing_is_guarded(check: str) -> None:
    """All that are requests at all: the others are refused before routes are asked."""
    async with Backend(generous) as backend:
        says = 'path_parameters = "keep"'
        config = routes(backend, check, 'to = "b"\nauth = "none"', says)
        async with gateway(config) as gate:
            answers = {target: await asked(gate.port, target) for target in ALL}
    refused = {target for target, answer in answers.items() if status(answer) == 400}
    assert all(answers[target].endswith(SECRET) for target in answers.keys() - refused)
    hides = re.compile(r"\.;|\.%3B|%2[Ff]\.\.|\.\.%2[Ff]|\.%2[Ff]|%2e;|%2e%2f|\\|%5[Cc]|%0|%7F|#")
    others = {"admin/x", "http://other.test/admin/x"}  # no slash at first; Host says another one
    assert {t for t in refused if not hides.search(t)} == others


@pytest.mark.parametrize("guard", list(GUARDS))
async def test_no_spelling_leads_past_a_guard(guard: str, check: str) -> None:
    async with Backend(generous) as backend:
        config = routes(backend, check, GUARDS[guard])
        assert passed_by(loads(config, "routes.toml", {})) == []
        async with gateway(config) as gate:
            for target in ALL:
                answer = await asked(gate.port, target)
                assert status(answer) in (400, 401, 403), target
                assert SECRET not in answer
        assert reached(backend) == []
        async with gateway(config) as gate:
            assert (await asked(gate.port, "/administration")).endswith(b"something else")


@pytest.mark.parametrize("guard", ["respond", "auth", "deny"])
async def test_nor_over_http2(guard: str, check: str) -> None:
    async with Backend(generous) as backend:
        async with gateway(routes(backend, check, GUARDS[guard])) as gate:
            for target in ALL:
                client = await h2_client(gate)
                got = await client.get(target)
                assert got.status in (400, 401, 403) or got.reset is not None, target
                assert SECRET not in got.body
                client.transport.abort()
        assert reached(backend) == []


@pytest.mark.parametrize("guard", ["respond", "auth", "allow"])
async def test_check_tells_of_every_kind_that_leads_past(guard: str, check: str) -> None:
    """Where the route that takes the rest says nothing: what gets by is what was told."""
    async with Backend(generous) as backend:
        config = routes(backend, check, GUARDS[guard], "")
        (told,) = passed_by(loads(config, "routes.toml", {}))
        assert all(key in told.remedy for key in OTHERS)
        async with gateway(config) as gate:
            for target in PLAIN:
                assert SECRET not in await asked(gate.port, target), target
            assert reached(backend) == []
            for paths in OTHERS.values():
                assert (await asked(gate.port, paths[0])).endswith(SECRET)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("encoded_slash", "decode", 403),
        ("encoded_slash", "reject", 400),
        ("path_parameters", "reject", 400),
        ("upper_case", "reject", 400),
    ],
)
async def test_what_each_key_does(key: str, value: str, expected: int, check: str) -> None:
    async with Backend(generous) as backend:
        config = routes(backend, check, GUARDS["respond"], f'{key} = "{value}"')
        async with gateway(config) as gate:
            for target in OTHERS[key]:
                assert status(await asked(gate.port, target)) == expected, target
            for escaped in ("/caf%C3%A9", "/a%20b", "/%E2%82%AC"):
                assert (await asked(gate.port, escaped)).endswith(b"something else")
        assert reached(backend) == []
