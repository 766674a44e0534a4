"""CPU a request of who may come in, beside the same proxy without a check, and peers.

    python -m benchmarks.access [--rounds 5] [--seconds 2] [--only jwt,key,forward]

jwt: a signed token (RS256, 2048 bits), the same one again and again, as a client has it.
key: an API key, one of a thousand in the file.
forward: a server is asked for each request (nginx, which answers 200 with one field), on the core
of the backend; `forward-cached` remembers its answers.

Everything else is as in `run`: interleaved rounds, medians, the CPU of a proxy's whole process
tree, nothing traced. All get the same request, which has all credentials.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from benchmarks import bed as beds
from benchmarks import load, peers, proc, report, workload
from benchmarks.bed import Bed, Running
from benchmarks.run import REST, settle

ISSUER, AUDIENCE = "https://id.example", "shop"
KEYS = 1000  # in the file of API keys
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"


@dataclass(frozen=True, slots=True)
class Case:
    """A proxy with a check; `edits` of its configuration, with what is made for the run."""

    product: str
    name: str
    edits: dict[str, str]

    @property
    def key(self) -> str:
        return f"{self.product}-{self.name}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What requests have, and what proxies go by."""

    token: str
    jwks: str
    key: str

    def requests(self) -> list[bytes]:
        """The workload's, with both."""
        made = []
        for trace_id in workload.trace_ids():
            lines = workload.request(trace_id)[:-4].split(b"\r\n")
            lines = [line for line in lines if not line.startswith(b"Authorization:")]
            lines.append(b"Authorization: Bearer " + self.token.encode())
            lines.append(b"X-API-Key: " + self.key.encode())
            made.append(b"\r\n".join(lines) + b"\r\n\r\n")
        return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; results go to benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.access", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default="jwt,key,forward")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args(arguments)
    wanted = {"none", *options.only.split(",")}
    used: dict[str, list[float]] = {}
    with beds.make() as bed:
        made = credentials(bed.directory)
        requests, verifier = made.requests(), _verifier(bed)
        chosen = [c for c in cases(verifier) if c.name.split("-")[0] in wanted]
        started = [(case, _start(bed, case, requests)) for case in chosen if _is_here(case)]
        time.sleep(REST)
        for number in range(1, options.rounds + 1):
            shift = (number - 1) % len(started)
            for case, proxy in started[shift:] + started[:shift]:
                cpu = measure(bed, proxy, requests, options.seconds)
                used.setdefault(case.key, []).append(cpu)
                line = f"{number} {case.key:24} {cpu * 1e6:8.1f} µs"
                print(line, file=sys.stderr, flush=True)
    print(table(used))
    if not options.dry:
        report.put("access", table(used), options.rounds)
        facts = {"machine": report.machine(), "versions": report.versions(), "cpu": used}
        print(report.write_json({"commit": report.commit(), **facts}, "access"))
    return 0


def measure(bed: Bed, proxy: Running, requests: Sequence[bytes], seconds: float) -> float:
    """Seconds of CPU for each request of one round."""
    before = proc.cpu(proxy.process.pid)
    got = load.run(proxy.port, seconds, bed.back, bed.directory, requests=requests)
    if got.errors > got.requests / 1000:
        raise SystemExit(f"{proxy.target.name}: {got.errors} errors in {got.requests} requests")
    settle(bed, proxy.target, got.requests)
    return (proc.cpu(proxy.process.pid) - before) / got.requests


def table(used: dict[str, list[float]]) -> str:
    """Markdown: µs of CPU a request, the difference to the same proxy without, and the ratio."""
    lines = ["| proxy | check | µs of CPU a request | more than without | ratio |"]
    lines.append("|---|---|---|---|---|")
    for key, rounds in used.items():
        product, _, name = key.partition("-")
        cpu = statistics.median(rounds)
        without = statistics.median(used[f"{product}-none"])
        cells = [product, name, f"{cpu * 1e6:.1f}"]
        cells += [f"{(cpu - without) * 1e6:+.1f}", f"{cpu / without:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def cases(verifier: int) -> list[Case]:
    """All of them; `verifier` is the port of the server that is asked."""
    to = f'to = "http://127.0.0.1:{verifier}/verify", headers = ["x-user"]'
    jwt = f'issuer = "{ISSUER}", audience = ["{AUDIENCE}"], jwks = "@DIR@/jwks.json"'
    return [
        Case("spangate", "none", {}),
        Case("spangate", "jwt", _ours(f"jwt = {{ {jwt} }}")),
        Case("spangate", "key", _ours('api_key = { file = "@DIR@/keys.toml", keep = true }')),
        Case("spangate", "forward", _ours(f"forward = {{ {to} }}")),
        Case("spangate", "forward-cached", _ours(f'forward = {{ {to}, cache = "60s" }}')),
        Case("envoy", "none", {}),
        Case("envoy", "jwt", _envoy(_jwt_authn(""))),
        Case("envoy", "jwt-cached", _envoy(_jwt_authn("jwt_cache_config: {jwt_cache_size: 1000}"))),
        Case("envoy", "forward", _envoy(_EXT_AUTHZ.format(port=verifier), verifier)),
        Case("traefik", "none", {}),
        Case("traefik", "forward", _traefik(verifier)),
    ]


def _ours(check: str) -> dict[str, str]:
    first = '[[route]]\nname = "orders"'
    return {first: f'[auth.bench]\n{check}\n\n[defaults]\nauth = "bench"\n\n{first}'}


def _envoy(filters: str, verifier: int = 0) -> dict[str, str]:
    edits = {"          http_filters:\n": f"          http_filters:\n{filters}"}
    if verifier:
        edits["  - name: sink\n"] = _CLUSTER.format(port=verifier) + "  - name: sink\n"
    return edits


def _jwt_authn(more: str) -> str:
    return f"""\
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": {_FILTERS}.jwt_authn.v3.JwtAuthentication
              providers:
                idp:
                  issuer: {ISSUER}
                  audiences: [{AUDIENCE}]
                  local_jwks: {{filename: "@DIR@/jwks.json"}}
                  forward: true
                  {more}
              rules:
              - match: {{prefix: "/"}}
                requires: {{provider_name: idp}}
"""


_EXT_AUTHZ = """\
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              allowed_headers: {{patterns: [{{safe_regex: {{regex: ".*"}}}}]}}
              http_service:
                server_uri: {{uri: "http://127.0.0.1:{port}", cluster: verifier, timeout: 1s}}
                path_prefix: /verify
                authorization_response:
                  allowed_upstream_headers: {{patterns: [{{exact: x-user}}]}}
"""
_CLUSTER = """\
  - name: verifier
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: verifier
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}
"""


def _traefik(verifier: int) -> dict[str, str]:
    ask = f'{{address: "http://127.0.0.1:{verifier}/verify", authResponseHeaders: [X-User]}}'
    return {
        "entryPoints: [in]}": "entryPoints: [in], middlewares: [ask]}",
        "  services:\n": f"  middlewares:\n    ask:\n      forwardAuth: {ask}\n  services:\n",
    }


def credentials(directory: Path) -> Credentials:
    """A token and its issuer's keys, and a file of API keys."""
    private = rsa.generate_private_key(65537, 2048)
    numbers = private.public_key().public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    jwk = {"kty": "RSA", "kid": "k1", "alg": "RS256", "use": "sig"}
    jwk |= {"n": _b64(numbers.n.to_bytes(size, "big")), "e": _b64(b"\1\0\1")}
    head = {"alg": "RS256", "kid": "k1", "typ": "JWT"}
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "joe", "iat": now, "exp": now + 36000}
    signed = ".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
    signature = private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    jwks = directory / "jwks.json"
    jwks.write_text(json.dumps({"keys": [jwk]}))
    keys = [hashlib.sha256(b"%d" % i).hexdigest() for i in range(KEYS)]
    entries = [
        f'[[key]]\nname = "user{i}"\nhash = "sha256:{hashlib.sha256(key.encode()).hexdigest()}"\n'
        for i, key in enumerate(keys)
    ]
    (directory / "keys.toml").write_text("\n".join(entries))
    return Credentials(f"{signed}.{_b64(signature)}", jwks.read_text(), keys[KEYS // 2])


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _target(product: str) -> peers.Target:
    return next(target for target in peers.TARGETS if target.name == product)


def _is_here(case: Case) -> bool:
    why = peers.missing(_target(case.product))
    if why:
        print(f"{case.key}: {why}", file=sys.stderr)
    return not why


def _start(bed: Bed, case: Case, requests: Sequence[bytes]) -> Running:
    """Started, shown to refuse who has no credentials where they are asked for, and warm."""
    target = _target(case.product)
    command = [part.replace(f"/{case.product}.", f"/{case.key}.") for part in target.command]
    one = replace(target, name=case.key, files=_files(bed, case), command=command)
    proxy = bed.start(one, answers=lambda proxy: _answers(proxy, requests[0]))
    if case.name.startswith(("jwt", "key")):
        status, _, _ = beds.ask(proxy.port, workload.request("0" * 31 + "1"))
        if status != 401:
            raise SystemExit(f"{case.key} lets in who has no credentials: {status}")
    load.run(proxy.port, 1, bed.back, bed.directory, requests=requests)
    return proxy


def _files(bed: Bed, case: Case) -> dict[str, str]:
    """The product's templates with the edits of the case, each in one of them."""
    found, left = {}, dict(case.edits)
    for name, template in _target(case.product).files.items():
        text = (peers.HERE / "peers" / template).read_text()
        text = text.replace("/routes.yaml", f"/{case.key}-routes.yaml")
        for old in [old for old in left if old in text]:
            text = text.replace(old, left.pop(old), 1)
        own = name.replace(case.product, case.key).replace("routes.", f"{case.key}-routes.")
        path = bed.directory / f"{own}.template"
        path.write_text(text)
        found[own] = str(path)  # an absolute path, which is no name in peers/
    if left:
        raise KeyError(f"{case.key}: no template has {next(iter(left))!r}")
    return found


def _answers(proxy: Running, request: bytes) -> bool:
    if proxy.process.poll() is not None:
        raise RuntimeError(f"ended with {proxy.process.returncode}")
    try:
        return beds.ask(proxy.port, request)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _verifier(bed: Bed) -> int:
    """The port of the server that is asked, started."""
    port = peers.free_port()
    text = (peers.HERE / "peers" / "verifier.conf").read_text()
    path = bed.directory / "verifier.conf"
    path.write_text(peers.fill(text, {"DIR": str(bed.directory), "PORT": str(port)}))
    command = [str(peers.find("nginx")), "-c", str(path)]
    process = proc.start(command, bed.back, bed.directory / "verifier.out")
    bed.stack.callback(proc.stop, process)
    return port


if __name__ == "__main__":
    sys.exit(main())
