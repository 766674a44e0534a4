"""USR2: another process follows the gateway, and nobody notices; or nothing changes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proxy.hub.takeover import receive
from tests.hub.gateway import DEADLINE, MINIMAL, children, fetch, until
from tests.hub.test_reload import ROUTE, listening_on, reloads
from tests.hub.upgrades import (
    Crowd,
    Followed,
    ask,
    comes_anew,
    comes_by,
    followed,
    gone,
    keeps_alive,
)
from tests.ports import free_port

TEXT = MINIMAL.format(more="")


class Backend:
    """Sends the first half of its answer, and the second when it is told to."""

    def __init__(self) -> None:
        self.go_on = go_on = threading.Event()
        self.asked = asked = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "8")
                self.end_headers()
                self.wfile.write(b"half")
                asked.set()
                go_on.wait(DEADLINE)
                self.wfile.write(b"half")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def backend() -> Iterator[Backend]:
    found = Backend()
    yield found
    found.go_on.set()
    found.server.shutdown()
    found.server.server_close()


def test_two_in_a_row_and_nobody_notices(tmp_path: Path, backend: Backend) -> None:
    place = tmp_path / "gate"
    text = MINIMAL.replace('"127.0.0.1:0"', f'["127.0.0.1:0", "unix:{place}"]', 1)
    text = text.format(more=f'[[route]]\npath = "/slow"\nto = "{backend.url}"\n')
    text = text.replace('drain_timeout = "3s"', 'drain_timeout = "60s"')
    line = r"ready: http on \S+, unix:\S+ admin"
    with followed(tmp_path, text, workers=2, ready=line) as hub:
        said = hub.wait_for_line(r"http on 127\.0\.0\.1:(\d+), unix.* admin on http://\S+:(\d+)")
        hub.port, hub.admin = int(said[1]), int(said[2])
        bodies: list[bytes] = []
        slow = threading.Thread(target=lambda: bodies.append(fetch(hub.port, "/slow")[2]))
        slow.start()
        assert backend.asked.wait(DEADLINE)
        clients = [keeps_alive(hub.port)] * 2 + [comes_anew(hub.port)] * 2 + [comes_by(place)]
        with Crowd(*clients) as crowd:
            first, second, third = hub.pid, hub.upgrade(), hub.upgrade()
            assert len({first, second, third}) == 3
            seen = crowd.answered
            until(lambda: crowd.answered > seen + 50 or crowd.wrong)
        assert crowd.wrong == []
        assert hub.stats()["before"]["pid"] == second
        # The download runs in the first one, whose parent is long out of charge.
        assert not gone(first)
        backend.go_on.set()
        slow.join(DEADLINE)
        assert bodies == [b"halfhalf"]
        assert hub.process.wait(DEADLINE) == 0
        until(lambda: gone(second))
        until(lambda: not hub.stats()["before"]["draining"])
        assert {w["pid"] for w in hub.stats()["workers"]} == set(children(third, "proxy.server"))
        assert place.exists()
        os.kill(third, signal.SIGTERM)
        until(lambda: gone(third))
        assert not place.exists()


def refused(hub: Followed, why: str) -> None:
    """An upgrade fails for that reason, and nothing has changed."""
    before = set(children(hub.pid))
    code, said, told = ask(hub.pid)
    assert (code, said) == (1, "")
    assert why in told, told
    assert hub.get() == "pong"
    assert hub.ask("/ready")[0] == 200
    until(lambda: set(children(hub.pid)) == before)
    hub.wait_for_line("upgrade failed: .*this process goes on")
    assert hub.stats()["before"] is None


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with followed(tmp_path, TEXT) as hub:
        hub.file.write_text(MINIMAL.format(more='[[route]]\npaht = "/x"\n'))
        refused(hub, "route[1].paht: unknown key")
        hub.file.write_text(MINIMAL.format(more=ROUTE.format("new")))
        hub.upgrade()
        assert hub.get("/new") == "new"


@pytest.mark.parametrize(
    ("what", "ready", "why"),
    [
        ("os._exit(3)", "60", "exited with status 3 before it was ready"),
        ("os.kill(os.getpid(), 9)", "60", "was ended by signal 9 before it was ready"),
        ("import time; time.sleep(60)", "15", "was not ready within 15 s"),
        ("raise SystemExit('no such module')", "60", "exited with status 1 before it was ready"),
        (
            "from proxy.hub import handed; handed.VERSION = 9",
            "60",
            "this release cannot follow the one that runs (hand-over 1, not 9)",
        ),
        (
            "from proxy.hub import supervisor; supervisor.COMMAND = ('false',)\n"
            "sys.argv[3:] = ['false']",
            "15",
            "was not ready within 15 s",
        ),
    ],
    ids=["exits", "is killed", "hangs", "fails to import", "is too new", "has no workers"],
)
def test_a_program_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, ready: str, why: str
) -> None:
    (tmp_path / "new.py").write_text(what)
    monkeypatch.setenv("SPANGATE_TEST_NEW", str(tmp_path / "new.py"))
    monkeypatch.setenv("SPANGATE_TEST_READY", ready)
    with followed(tmp_path, TEXT) as hub:
        refused(hub, why)
        (tmp_path / "new.py").write_text("")
        hub.upgrade()
        assert hub.get() == "pong"


def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "over")
    (tmp_path / "new.py").write_text(f"open({str(tmp_path / 'over')!r}).read()\nos._exit(3)")
    monkeypatch.setenv("SPANGATE_TEST_NEW", str(tmp_path / "new.py"))
    with followed(tmp_path, TEXT) as hub:
        hub.signal(signal.SIGUSR2)
        hub.wait_for_line("starting the program that follows")
        code, _, told = ask(hub.pid)
        assert (code, "another upgrade is under way" in told) == (1, True)
        (tmp_path / "over").write_text("")
        hub.wait_for_line("upgrade failed")
        assert hub.get() == "pong"


def test_the_signal_alone_and_reloads_around_it(tmp_path: Path) -> None:
    with followed(tmp_path, TEXT) as hub:
        hub.file.write_text(MINIMAL.format(more=ROUTE.format("new")))
        hub.signal(signal.SIGHUP)
        hub.signal(signal.SIGUSR2)
        found = hub.wait_for_line(r"process (\d+) is in charge; this one finishes")
        hub.pids.append(int(found[1]))
        assert hub.get("/new") == "new"
        assert hub.process.wait(DEADLINE) == 0
        hub.file.write_text(MINIMAL.format(more=ROUTE.format("newer")))
        os.kill(hub.pid, signal.SIGHUP)
        until(lambda: hub.get("/newer") == "newer")
        assert reloads(hub)["failed"] == 0


def test_term_to_all_of_a_service_does_not_cut_what_the_old_one_finishes(
    tmp_path: Path, backend: Backend
) -> None:
    text = MINIMAL.format(more=f'[[route]]\npath = "/slow"\nto = "{backend.url}"\n')
    with followed(tmp_path, text.replace('"3s"', '"60s"')) as hub:
        bodies: list[bytes] = []
        slow = threading.Thread(target=lambda: bodies.append(fetch(hub.port, "/slow")[2]))
        slow.start()
        assert backend.asked.wait(DEADLINE)
        new = hub.upgrade()
        hub.signal(signal.SIGTERM)
        os.kill(new, signal.SIGTERM)
        until(lambda: gone(new))
        backend.go_on.set()
        slow.join(DEADLINE)
        assert bodies == [b"halfhalf"]
        assert hub.process.wait(DEADLINE) == 0


def test_what_is_no_gateway_gets_no_signal(tmp_path: Path) -> None:
    with followed(tmp_path, TEXT) as hub, subprocess.Popen(["sleep", "60"]) as other:
        worker = children(hub.pid, "proxy.server")[0]
        for pid, why in [
            (other.pid, 'is no gateway: it is "sleep 60"'),
            (worker, f"is a part of the gateway {hub.pid}: spangate upgrade {hub.pid}"),
            (2**22 + 1, "there is no process"),
        ]:
            code, said, told = ask(pid)
            assert (code, said) == (1, "")
            assert why in told
        assert other.poll() is None
        for part in children(hub.pid):  # somebody who signals everything
            os.kill(part, signal.SIGUSR2)
        assert ask("0")[0] == ask("x")[0] == 2
        other.kill()
        assert hub.get() == "pong"
        assert children(hub.pid, "proxy.server") == [worker]


def test_a_service_manager_is_told_who_is_in_charge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with followed(tmp_path, TEXT) as hub:
            told = [manager.recv(4096).decode()]
            old, new = hub.pid, hub.upgrade()
            while f"MAINPID={new}" not in told[-1]:
                told.append(manager.recv(4096).decode())
            assert told[-1].startswith(f"MAINPID={new}\nREADY=1\n")
            # A manager waits for its own children alone, and whether it is one is looked at now.
            assert parent(new) != old
            assert told[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
            told.append(manager.recv(4096).decode())
            assert (
                told[-1].startswith("READY=1\nSTATUS=1 worker, 2 routes") or "1 route" in told[-1]
            )
            assert hub.process.wait(DEADLINE) == 0
            assert old != new
            os.kill(new, signal.SIGTERM)
            assert manager.recv(4096).startswith(b"STOPPING=1")
            until(lambda: gone(new))


def test_below_a_service_manager_a_program_that_does_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("SPANGATE_TEST_NEW", str(tmp_path / "new.py"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with followed(tmp_path, TEXT) as hub:
            refused(hub, " ended before it was ready")
            (tmp_path / "new.py").write_text("")
            hub.upgrade()
            assert hub.get() == "pong"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3)])
def test_another_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    (tmp_path / "new.py").write_text(f"sys.argv[2] = '{after}'")
    monkeypatch.setenv("SPANGATE_TEST_NEW", str(tmp_path / "new.py"))
    with followed(tmp_path, TEXT, workers=before) as hub:
        with Crowd(*[comes_anew(hub.port)] * 4) as crowd:
            hub.upgrade()
            until(lambda: gone(hub.pids[0]) or hub.process.poll() is not None)
            seen = crowd.answered
            until(lambda: crowd.answered > seen + 200 or crowd.wrong)
        assert crowd.wrong == []
        assert len(hub.stats()["workers"]) == after


def test_who_was_drained_by_an_operator_stays_so(tmp_path: Path) -> None:
    more = '[[route]]\npath = "/u"\nto = "u"\n[upstream.u]\nservers = ["http://127.0.0.1:1"]\n'
    text = MINIMAL.replace("[admin]", '[admin]\ntoken = "t"').format(more=more)
    with followed(tmp_path, text) as hub:
        token = {"Authorization": "Bearer t"}
        fetch(hub.admin, "/upstreams/u/127.0.0.1:1/drain", token, "POST")
        hub.upgrade()
        endpoint = json.loads(hub.ask("/upstreams")[2])
        assert "drained" in json.dumps(endpoint)


def test_a_configuration_from_stdin_is_read_once(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "proxy", "run", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as hub:
        assert hub.stdin is not None
        assert hub.stderr is not None
        hub.stdin.write(TEXT)
        hub.stdin.close()
        assert "ready" in hub.stderr.readline()
        code, _, told = ask(hub.pid)
        assert (code, "came from stdin" in told) == (1, True)
        hub.terminate()
        assert hub.wait(DEADLINE) == 0


def test_rate_limits_go_on_counting(tmp_path: Path) -> None:
    more = (
        '[[route]]\npath = "/l"\nrate = { limit = "2/h", burst = 2, scope = "host" }\n'
        "respond = { status = 200 }\n"
    )
    with followed(tmp_path, MINIMAL.format(more=more)) as hub:
        statuses = [fetch(hub.port, "/l")[0]]
        hub.upgrade()
        until(lambda: hub.process.poll() is not None)
        statuses += [fetch(hub.port, "/l")[0] for _ in range(3)]
        assert 429 in statuses
        assert statuses == sorted(statuses)


def test_a_stop_ends_the_upgrade_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("SPANGATE_TEST_NEW", str(tmp_path / "new.py"))
    with followed(tmp_path, TEXT) as hub:
        hub.signal(signal.SIGUSR2)
        new = until(lambda: set(children(hub.pid, "-c")))
        assert hub.end() == 0
        until(lambda: all(map(gone, new)))
        hub.wait_for_line("upgrade refused: the gateway is stopping")


def test_a_listener_that_is_new_and_one_that_is_gone(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    with followed(tmp_path, listening_on(first)) as hub:
        hub.file.write_text(listening_on(second))
        hub.upgrade()
        assert hub.get(port=second) == "pong"
        until(lambda: hub.process.poll() is not None)
        with pytest.raises(ConnectionRefusedError):
            hub.get(port=first)


def test_the_old_one_dies_and_the_new_one_goes_on(tmp_path: Path, backend: Backend) -> None:
    text = MINIMAL.format(more=f'[[route]]\npath = "/slow"\nto = "{backend.url}"\n')
    with followed(tmp_path, text.replace('"3s"', '"60s"')) as hub:
        slow = threading.Thread(target=lambda: fetch(hub.port, "/slow"))
        slow.start()
        assert backend.asked.wait(DEADLINE)
        hub.upgrade()
        hub.process.kill()
        until(lambda: not hub.stats()["before"]["draining"])
        assert hub.stats()["before"]["export"] is None
        assert hub.get() == "pong"
        backend.go_on.set()
        slow.join(DEADLINE)


def test_what_systemd_has_opened_is_handed_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        port = given.getsockname()[1]
        file = tmp_path / "routes.toml"
        file.write_text(listening_on(port))
        code = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1',"
            "LISTEN_PID=str(os.getpid())); os.execv(sys.executable, [sys.executable, '-m',"
            "'proxy', 'run', sys.argv[2], '--workers', '1'])"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(given.fileno()), str(file)],
            pass_fds=[given.fileno()],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        ) as hub:
            assert hub.stderr is not None
            assert "ready" in hub.stderr.readline()
            pids = [hub.pid]
            for _ in range(2):
                exit_code, said, told = ask(pids[-1])
                assert exit_code == 0, told
                pids.append(int(said))
                assert fetch(port, "/")[2] == b"pong"
            os.kill(pids[-1], signal.SIGTERM)
            until(lambda: all(map(gone, pids[1:])) and hub.poll() is not None)


@pytest.mark.parametrize(
    "said",
    ["", "1", "x,y", "-1,-1", "999,998", "0,1", "99999999999999999999,1"],
)
def test_a_variable_that_somebody_has_set_is_told(tmp_path: Path, said: str) -> None:
    (tmp_path / "routes.toml").write_text(TEXT)
    if not said:
        assert receive({"SPANGATE_TAKEOVER": ""}) is None
        return
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "run", str(tmp_path / "routes.toml")],
        env={**os.environ, "SPANGATE_TAKEOVER": said},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    assert "SPANGATE_TAKEOVER is for upgrades alone: do not set it" in done.stderr
    assert "Traceback" not in done.stderr
