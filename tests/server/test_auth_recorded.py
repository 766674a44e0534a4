"""Fields that checks read are recorded without their values, whoever has asked for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import pytest

from proxy.config import key_form
from tests.harness import Backend, gateway, routes
from tests.server.kit import reply, script, traces

KEY, TOKEN, SESSION, GIVEN = (key_form.new(Random(n).randrange) for n in range(4))
CAPTURED = """
[tracing]
request_headers = ["X-Api-Key", "Authorization", "Cookie", "X-Team"]
response_headers = ["Set-Cookie", "X-Cache"]
[attributes]
"my.key" = "header:X-API-Key"
"my.session" = "cookie:session"
"my.theme" = "cookie:theme"
"""
ASKED = [
    f"X-Api-Key: {KEY}",
    f"Authorization: Bearer {TOKEN}",
    f"Cookie: theme=dark; session={SESSION}",
    "X-Team: shop",
]
REQUEST, RESPONSE = "http.request.header.", "http.response.header."
KEPT = {
    f"{REQUEST}x-team": ["shop"],
    f"{RESPONSE}x-cache": ["hit"],
    "my.theme": "dark",
}
AS_SENT = {
    f"{REQUEST}x-api-key": KEY,
    f"{REQUEST}authorization": f"Bearer {TOKEN}",
    f"{REQUEST}cookie": f"theme=dark; session={SESSION}",
    f"{RESPONSE}set-cookie": f"session={GIVEN}",
    "my.key": KEY,
    "my.session": SESSION,
}
KEY_FIELDS = {f"{REQUEST}x-api-key", "my.key"}
AUTHORIZATION = f"{REQUEST}authorization"
COOKIES = {f"{REQUEST}cookie", f"{RESPONSE}set-cookie"}

CASES: list[tuple[str, set[str]]] = [
    ("", set()),
    ('api_key = { in = ["header:x-api-key"], file = "KEYS" }', KEY_FIELDS),
    ('api_key = { in = ["header:x-api-key", "bearer"], file = "KEYS" }',
     {*KEY_FIELDS, AUTHORIZATION}),
    ('api_key = { in = ["header:x-api-key", "cookie:session"], file = "KEYS" }',
     {*KEY_FIELDS, *COOKIES, "my.session"}),
]  # fmt: skip


@pytest.mark.parametrize(("check", "hidden"), CASES)
async def test_what_a_check_reads_is_recorded_without_its_value(
    tmp_path: Path, check: str, hidden: set[str]
) -> None:
    file = tmp_path / "keys.toml"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    file.write_text(f'[[key]]\nname = "shop"\nhash = "sha256:{digest}"\n')
    more = f"{CAPTURED}[auth.keys]\n{check.replace('KEYS', str(file))}\n" if check else CAPTURED
    more += "[access_log]\nstdout = true\notlp = true\n"
    answers = script(reply(200, b"", f"Set-Cookie: session={GIVEN}", "X-Cache: hit"))
    async with Backend(answers) as backend:
        route = 'auth = "keys"' if check else ""
        async with gateway(routes(backend, more, route)) as gate:
            assert (await gate.get("/x", *ASKED)).status == 200
            (seen,) = await traces(gate)
            recorded = f"{gate.recorded.spans}{gate.recorded.logs}{gate.recorded.lines}"
    for key, value in AS_SENT.items():
        told = "REDACTED" if key in hidden else value
        assert seen.about[key] == ([told] if ".header." in key else told)
    assert {key: seen.about[key] for key in KEPT} == KEPT
    assert (KEY in recorded) == (not hidden)
    assert (SESSION in recorded) == (not hidden >= COOKIES)
    assert (TOKEN in recorded) == (AUTHORIZATION not in hidden)


async def test_what_is_refused_is_recorded_without_it_too(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'[[key]]\nname = "shop"\nhash = "sha256:{"0" * 64}"\n')
    more = f'{CAPTURED}[auth.keys]\napi_key = {{ file = "{file}" }}\n'
    async with Backend() as backend, gateway(routes(backend, more, 'auth = "keys"')) as gate:
        assert (await gate.get("/x", *ASKED)).status == 401
        (seen,) = await traces(gate)
    assert seen.about[f"{REQUEST}x-api-key"] == ["REDACTED"]
    assert seen.about[f"{REQUEST}x-team"] == ["shop"]
