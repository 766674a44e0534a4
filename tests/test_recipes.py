"""Configurations in the documentation are what a reader can paste: they load without a warning,
and the recipes do what is said of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.config.load import loads
from tests.harness import Answer, Backend, Gateway, Handler, Peer, gateway

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted([*(DOCS / "from").glob("*.md"), DOCS / "recipes.md"])
RECIPES = dict(
    re.findall(r"^## (.*?)$.*?```toml\n(.*?)```", (DOCS / "recipes.md").read_text(), re.M | re.S)
)

# Recipe -> requests (method, path, a header field), and what comes back (status, or which of the
# two servers answers, and a response header field).
CASES = [
    ("A maintenance page", "GET", "/x", "", 503, "retry-after: 3600"),
    ("A maintenance page", "GET", "/x", "X-Preview: 1", "first", ""),
    ("A canary", "GET", "/x", "X-Canary: 1", "second", ""),
    ("Blue and green", "GET", "/x", "", "first", ""),
    ("Blue and green", "GET", "/x", "X-Color: green", "second", ""),
    (
        "From http to https", "GET", "/x?a=1", "X-Forwarded-Proto: http",
        308, "location: https://shop.example/x?a=1",
    ),
    ("From http to https", "GET", "/x", "X-Forwarded-Proto: https", "first", ""),
    (
        "CORS", "OPTIONS", "/api/x",
        "Access-Control-Request-Method: POST\r\nOrigin: https://shop.example",
        204, "access-control-allow-origin: https://shop.example",
    ),
    (
        "CORS", "GET", "/api/x", "Origin: https://shop.example",
        "first", "access-control-allow-origin: https://shop.example",
    ),
    ("An inner part that only some may see", "GET", "/admin/x", "", "first", ""),
    ("An inner part that only some may see", "GET", "/admin%2Fx", "", 400, ""),
    ("An API whose versions live in different services", "GET", "/v1/x", "", "first", ""),
    ("An API whose versions live in different services", "GET", "/v2/orders/7", "", "second", ""),
    ("Show me only what is slow or failed", "GET", "/x", "", "first", ""),
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_configurations_load_without_a_warning(page: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        assert not loads(example, page.name, {}).warnings


def test_a_collector_s_file_in_the_documentation_is_taken() -> None:
    page = (DOCS / "from" / "opentelemetry-collector.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert not loads(example, "config.yaml", {}).warnings


def test_every_recipe_is_tried() -> None:
    assert {recipe for recipe, *_ in CASES} == set(RECIPES)


@pytest.mark.parametrize(("recipe", "method", "path", "field", "answered", "told"), CASES)
async def test_a_recipe_does_what_it_says(
    recipe: str, method: str, path: str, field: str, answered: int | str, told: str
) -> None:
    async with Backend(answering(b"first")) as first, Backend(answering(b"second")) as second:
        text = RECIPES[recipe].replace("http://127.0.0.1:8000", first.url)
        text = text.replace("http://127.0.0.1:8001", second.url)
        async with gateway(text) as gate:
            answer = await ask(gate, method, path, field)
    by = answer.body.decode() if answer.body in (b"first", b"second") else answer.status
    assert by == answered
    if told:
        name, _, value = told.partition(": ")
        assert answer[name] == value


def answering(name: bytes) -> Handler:
    """A server that gives its name to each request."""

    async def handle(peer: Peer) -> None:
        while True:
            await peer.head()
            peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

    return handle


async def ask(gate: Gateway, method: str, path: str, field: str) -> Answer:
    client = await gate.connect()
    lines = [f"{method} {path} HTTP/1.1", "Host: shop.example", *([field] if field else []), "", ""]
    client.write("\r\n".join(lines).encode())
    answer = await client.answer()
    await client.close()
    return answer
