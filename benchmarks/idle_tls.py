"""Memory of ten thousand TLS connections that do nothing, beside nginx's and Envoy's.

    python -m benchmarks.idle_tls [--connections 10000] [--only nginx,envoy-traced,spangate-100]

Each proxy has one worker, TLS 1.3 and the same certificate. Clients, in processes of their own,
shake hands and wait; then each asks once, reads its answer, and waits again. Memory is what is
resident (RSS) in all processes of a proxy, before, between and after.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import bed as beds
from benchmarks import fixed, peers, proc, protocols, workload
from benchmarks.bed import Bed, Running
from proxy.server import tls_openssl

IDLE = 10_000
REST = 2.0  # seconds until what has begun has settled
CLIENTS = 2  # processes
PATIENCE = 60.0  # seconds for one connection's handshake or answer, on a busy machine
_ENVOY_TLS = "envoy.extensions.transport_sockets.tls.v3"
_ENVOY = """\
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/{tls}.DownstreamTlsContext
          common_tls_context:
            tls_params: {tls_minimum_protocol_version: TLSv1_3}
            tls_certificates:
            - certificate_chain: {filename: "@DIR@/edge.pem"}
              private_key: {filename: "@DIR@/edge.key"}
      filters:
""".replace("{tls}", _ENVOY_TLS)
EDITS = {**protocols.TLS, "envoy-traced": {"    - filters:\n": _ENVOY}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table of Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle_tls", description=__doc__)
    parser.add_argument("--connections", type=int, default=IDLE)
    parser.add_argument("--only", default=",".join(EDITS))
    parser.add_argument("--hold", type=int, default=0, help="be the clients of this port")
    options = parser.parse_args(arguments)
    if options.hold:
        hold(options.hold, options.connections)
        return 0
    proc.stop_all_when_ended()
    print("| proxy | idle | with handshakes done | after an answer each | KiB a connection |")
    print("|---|---:|---:|---:|---:|", flush=True)
    with beds.make() as bed:
        protocols.certificate(bed.directory)
        for target in peers.TARGETS:
            if target.name in options.only.split(",") and not peers.missing(target):
                one = replace(target, edits=EDITS[target.name])
                proxy = bed.start(one, answers=protocols.speaks_tls)
                print(row(target.name, measure(bed, proxy, options.connections)), flush=True)
                bed.stop(proxy)
    return 0


def measure(bed: Bed, proxy: Running, number: int) -> list[int]:
    """Bytes resident before, with handshakes done, and when each connection has had an answer,
    and the number of connections."""
    each = number // CLIENTS
    command = [sys.executable, "-m", "benchmarks.idle_tls", "--hold", str(proxy.port)]
    command += ["--connections", str(each)]
    time.sleep(REST)
    found = [_resident(proxy)]
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(CLIENTS):
            client = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                preexec_fn=lambda: os.sched_setaffinity(0, {bed.back}),
            )
            stack.callback(proc.stop, client)
            clients.append(client)
        for word in ("shaken", "answered"):
            for client in clients:
                assert client.stdin is not None and client.stdout is not None
                client.stdin.write(b"go on\n")
                client.stdin.flush()
            for client in clients:
                assert client.stdout is not None
                if client.stdout.readline().decode().strip() != word:
                    raise SystemExit(f"{proxy.target.name}: not all were {word}")
            time.sleep(REST)
            found.append(_resident(proxy))
    return [*found, each * CLIENTS]


def hold(port: int, number: int) -> None:
    """Be so many clients: a line from stdin for each of two steps, and for the end."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls_openssl.release_buffers(context)
    links = []
    sys.stdin.readline()
    for _ in range(number):
        link = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        links.append(context.wrap_socket(link))
    print("shaken", flush=True)
    sys.stdin.readline()
    request = workload.request("2" * 32)
    for secured in links:
        secured.sendall(request)
        answer = bytearray()
        while not fixed.whole(answer):
            data = secured.recv(65536)
            if not data:
                raise SystemExit("closed")
            answer += data
    print("answered", flush=True)
    sys.stdin.readline()


def row(name: str, found: Sequence[int]) -> str:
    """A row of the table."""
    before, shaken, answered, number = found
    per = [(size - before) / number / 1024 for size in (shaken, answered)]
    cells = " | ".join(f"{size / 1e6:.0f} MB" for size in (before, shaken, answered))
    return f"| {name} | {cells} | {per[0]:.1f}, {per[1]:.1f} |"


def _resident(proxy: Running) -> int:
    return proc.memory(proc.tree(proxy.process.pid)).rss


if __name__ == "__main__":
    sys.exit(main())
