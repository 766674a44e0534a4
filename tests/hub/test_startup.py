"""What cannot be had at a start or a reload: file, line, key, address or path, and what to do."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.gateway import DEADLINE, MINIMAL, gateway
from tests.hub.test_collect import COLLECTOR, collect

PIPELINE = """
[admin]
listen = ""
[collector.exporters.debug]
[collector.pipelines.{signal}]
receivers = ["{id}"]
exporters = ["debug"]
"""
TAKEN = "127.0.0.1:{port}"
ROUTE = '[[route]]\npath = "/"\nrespond = { status = 200 }\n'
RECEIVERS = [
    ("otlp", "http", "tcp", "traces"),
    ("otlp", "grpc", "tcp", "traces"),
    ("zipkin", "endpoint", "tcp", "traces"),
    ("jaeger", "grpc", "tcp", "traces"),
    ("jaeger", "thrift_http", "tcp", "traces"),
    ("jaeger", "thrift_compact", "udp", "traces"),
    ("jaeger", "thrift_binary", "udp", "traces"),
    ("prometheus_remote_write", "endpoint", "tcp", "metrics"),
]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody has, of TCP and of UDP."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        port = int(server.getsockname()[1])
        datagrams.bind(("127.0.0.1", port))
        yield port


def refused(tmp_path: Path, text: str, command: str = "collect") -> str:
    """What stderr says of a file that cannot be run."""
    file = tmp_path / "given.toml"
    file.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "proxy", command, str(file)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Errno" not in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not re.search(r"\.cc:\d+|\bE\d{4}", done.stderr), "gRPC speaks for itself"
    return done.stderr


def place(text: str, file: str = "given.toml") -> int:
    """The line that a message names."""
    found = re.search(rf"{file}:(\d+): ", text)
    assert found is not None, text
    return int(found[1])


@pytest.mark.parametrize(("id", "key", "kind", "signal"), RECEIVERS)
def test_an_address_of_a_receiver_that_is_taken(
    tmp_path: Path, taken: int, id: str, key: str, kind: str, signal: str
) -> None:
    address = TAKEN.format(port=taken)
    text = PIPELINE.format(id=id, signal=signal)
    text += f'[collector.receivers.{id}]\n{key} = "{address}"\n'
    said = refused(tmp_path, text)
    assert f"collector.receivers.{id}.{key}: cannot listen on {address}: address already" in said
    assert f"change `{key}`" in said
    assert place(said) == len(text.splitlines())


@pytest.mark.parametrize("key", ["http", "grpc"])
def test_an_address_that_is_not_of_this_machine(tmp_path: Path, key: str) -> None:
    text = PIPELINE.format(id="otlp", signal="traces")
    said = refused(tmp_path, f'{text}[collector.receivers.otlp]\n{key} = "192.0.2.1:4317"\n')
    assert f"otlp.{key}: cannot listen on 192.0.2.1:4317: cannot assign requested address" in said
    assert "no interface of this machine has that address" in said


def test_one_of_several_addresses(tmp_path: Path, taken: int) -> None:
    text = PIPELINE.format(id="otlp", signal="traces")
    text += '[collector.receivers.otlp]\nhttp = "127.0.0.1:0"\n'
    said = refused(tmp_path, f'{text}grpc = "{TAKEN.format(port=taken)}"\n')
    assert "collector.receivers.otlp.grpc: cannot listen" in said


def test_the_page_of_the_prometheus_exporter(tmp_path: Path, taken: int) -> None:
    address = TAKEN.format(port=taken)
    text = f"""
    [admin]
    listen = ""
    [collector.receivers.host_metrics]
    [collector.exporters."prometheus/page"]
    endpoint = "{address}"
    [collector.pipelines.metrics]
    receivers = ["host_metrics"]
    exporters = ["prometheus/page"]
    """
    said = refused(tmp_path, text)
    assert f'exporters."prometheus/page".endpoint: cannot listen on {address}: address' in said
    assert place(said) == 6


@pytest.mark.parametrize("command", ["run", "collect"])
def test_the_admin_port(tmp_path: Path, taken: int, command: str) -> None:
    address = TAKEN.format(port=taken)
    text = f'[admin]\nlisten = "{address}"\n[export]\nconsole = true\n{ROUTE}'
    said = refused(tmp_path, f'listen = "127.0.0.1:0"\n{text}', command)
    assert f"admin.listen: cannot listen on {address}: address already in use" in said
    assert place(said) == 3


def test_a_listener(tmp_path: Path, taken: int) -> None:
    address = TAKEN.format(port=taken)
    text = f'[admin]\nlisten = ""\n[[listen]]\naddress = "{address}"\n{ROUTE}'
    said = refused(tmp_path, text, "run")
    assert f"listen: cannot listen on {address}: address already in use" in said
    assert place(said) == 3


def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "file").write_text("x")
    (tmp_path / "bad.pem").write_text("no certificate")
    return {"file": str(tmp_path / "file"), "no": str(tmp_path / "no"), "dir": str(tmp_path),
            "bad": str(tmp_path / "bad.pem")}  # fmt: skip


EXPORTERS = [
    ("file", 'path = "{no}/out.jsonl"', "path: there is no folder {no} (make it first)"),
    ("file", 'path = "{dir}"', "path: {dir} is a folder"),
    ("file", 'path = "{file}/x/out"', "path: {file} is a file"),
    (
        "otlp_http",
        'endpoint = "https://h"\ntls = {{ ca = "{no}" }}',
        "tls.ca: cannot use {no}: no such file",
    ),
    (
        "otlp_grpc",
        'endpoint = "https://h:1"\ntls = {{ cert = "{no}", key = "{no}" }}',
        "tls.cert: cannot use {no}: no such file",
    ),
    (
        "elasticsearch",
        'endpoint = "https://h"\ntls = {{ ca = "{dir}" }}',
        "tls.ca: cannot use {dir}: is a directory (it is a folder: name a file)",
    ),
    ("zipkin", 'endpoint = "https://h/x"\ntls = {{ ca = "{bad}" }}', "tls: these files are of no"),
    (
        "otlp_http",
        'endpoint = "http://h"\nsending_queue = {{ storage = "{file}" }}',
        "sending_queue.storage: {file} is a file (name a folder, or one to be made)",
    ),
    (
        "otlp_http",
        'endpoint = "http://h"\nsending_queue = {{ storage = "{file}/a/b" }}',
        "sending_queue.storage: {file} is a file (name a folder, or one to be made)",
    ),
]


@pytest.mark.parametrize(("type", "settings", "message"), EXPORTERS)
def test_files_of_exporters(tmp_path: Path, type: str, settings: str, message: str) -> None:
    names = files(tmp_path)
    text = COLLECTOR.format(age="1s", url="http://h").replace(
        '[collector.exporters.otlp_http]\nendpoint = "http://h"', "[collector.exporters.x]"
    )
    text = text.replace("[collector.exporters.x]", f"[collector.exporters.{type}]")
    text = text.replace('exporters = ["otlp_http"]', f'exporters = ["{type}"]')
    text = text.replace(
        f"[collector.exporters.{type}]",
        f"[collector.exporters.{type}]\n" + settings.format(**names),
    )
    said = refused(tmp_path, text)
    assert f"collector.exporters.{type}.{message.format(**names)}" in said
    assert place(said) >= 9


def test_certificates_of_a_receiver(tmp_path: Path) -> None:
    names = files(tmp_path)
    text = PIPELINE.format(id="otlp", signal="traces")
    for key in ("http", "grpc"):
        own = f'[collector.receivers.otlp]\n{key} = "127.0.0.1:0"\n'
        tls = 'tls = {{ cert = "{}", key = "{}" }}\n'
        said = refused(tmp_path, text + own + tls.format(names["bad"], names["no"]))
        assert f"collector.receivers.otlp.tls.key: cannot use {names['no']}: no such file" in said
        said = refused(tmp_path, text + own + tls.format(names["bad"], names["bad"]))
        assert "collector.receivers.otlp.tls: these files are of no use" in said


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_storage_of_export(tmp_path: Path, command: str) -> None:
    names = files(tmp_path)
    more = f'[export]\notlp = ["http://127.0.0.1:1"]\nstorage = "{names["file"]}"\n'
    file = tmp_path / "given.toml"
    file.write_text(MINIMAL.format(more=more))
    done = subprocess.run(
        [sys.executable, "-m", "proxy", command, str(file)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"given.toml:11: export.storage: {names['file']} is a file" in said


@pytest.mark.parametrize("key", ["http", "grpc"])
def test_a_reload_says_it_and_changes_nothing(tmp_path: Path, taken: int, key: str) -> None:
    running_text = PIPELINE.format(id="otlp", signal="traces").replace(
        'listen = ""', 'listen = "127.0.0.1:0"'
    )
    running_text += '[collector.receivers.otlp]\nhttp = "127.0.0.1:0"\n'
    more = f'[collector.receivers."otlp/2"]\n{key} = "{TAKEN.format(port=taken)}"\n'
    with collect(tmp_path, running_text) as running:
        assert running.send() == 200
        wrong = running_text.replace('receivers = ["otlp"]', 'receivers = ["otlp", "otlp/2"]')
        running.file.write_text(wrong + more)
        running.process.send_signal(signal.SIGHUP)
        found = running.line(
            rf'collector\.toml:(\d+): collector\.receivers\.\\?"otlp/2\\?"\.{key}: cannot'
        )
        assert int(found[1]) == len((wrong + more).splitlines())
        assert running.send() == 200


def test_a_gateway_s_reload_says_it_too(tmp_path: Path, taken: int) -> None:
    text = MINIMAL.format(more="")
    with gateway(tmp_path, text) as hub:
        address = TAKEN.format(port=taken)
        more = PIPELINE.format(id="otlp", signal="traces").replace('[admin]\nlisten = ""\n', "")
        hub.file.write_text(f'{text}{more}[collector.receivers.otlp]\ngrpc = "{address}"\n')
        hub.signal(signal.SIGHUP)
        hub.wait_for_line(
            rf"\.toml:\d+: collector\.receivers\.otlp\.grpc: cannot listen on {address}"
        )
        assert hub.get() == "pong"


@pytest.mark.parametrize("processes", ["", 'processes = "small"\n'])
@pytest.mark.parametrize("key", ["http", "grpc"])
def test_a_gateway_s_start_says_it(tmp_path: Path, taken: int, key: str, processes: str) -> None:
    text = processes + 'listen = "127.0.0.1:0"\n' + PIPELINE.format(id="otlp", signal="traces")
    address = TAKEN.format(port=taken)
    text += f'[collector.receivers.otlp]\n{key} = "{address}"\n'
    said = refused(tmp_path, text, "run")
    assert f"collector.receivers.otlp.{key}: cannot listen on {address}: address already" in said
    assert place(said) == len(text.splitlines())
