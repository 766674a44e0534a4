"""Files of checks that change while the gateway runs: what counts from then on, and what never."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.hub.gateway import Gateway, fetch, gateway, until

CONFIG = """
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[auth.keys]
api_key = { file = "keys.toml" }
[[route]]
path = "/*"
respond = "pong"
auth = "keys"
"""


def keys(folder: Path, *secrets: str) -> None:
    text = ""
    for secret in secrets:
        digest = hashlib.sha256(secret.encode()).hexdigest()
        text += f'[[key]]\nname = "{secret}"\nhash = "sha256:{digest}"\n'
    replace(folder, text)


def replace(folder: Path, text: str) -> None:
    new = folder / "keys.new"
    new.write_text(text)
    new.chmod(0o600)
    new.replace(folder / "keys.toml")


def status(hub: Gateway, secret: str) -> int:
    return int(fetch(hub.port, "/", {"X-Api-Key": secret})[0])


def test_keys_come_and_go_with_their_file(tmp_path: Path) -> None:
    keys(tmp_path, "first")
    with gateway(tmp_path, CONFIG) as hub:
        assert (status(hub, "first"), status(hub, "second")) == (200, 401)
        keys(tmp_path, "second")
        until(lambda: status(hub, "second") == 200)
        until(lambda: status(hub, "first") == 401)
        hub.wait_for_line("credentials reloaded: their files had changed")
        until(lambda: status(hub, "second") == 200)


def test_a_file_that_is_no_use_changes_nothing(tmp_path: Path) -> None:
    keys(tmp_path, "first")
    with gateway(tmp_path, CONFIG) as hub:
        replace(tmp_path, '[[key]]\nname = "first"\nhash = "s3cr3t"\n')
        hub.wait_for_line("the credentials in force stay.*")
        hub.wait_for_line("keys.toml, line 3")
        assert status(hub, "first") == 200
        assert not [line for line in hub.lines if "s3cr3t" in line]
        keys(tmp_path, "third")
        until(lambda: status(hub, "third") == 200)
        until(lambda: status(hub, "first") == 401)
