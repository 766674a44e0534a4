"""What it costs to say who may come in: `python -m benchmarks.access_peers [--rounds 5]`.

Spangate, Envoy and Traefik, every request traced, each without a check and with its own kind of
one, interleaved in one run: CPU of all the proxy's processes for each request. Tokens are RS256,
the same in every request, as a client sends them. Envoy's `jwt_authn` verifies each anew unless a
cache is configured, so it stands here with and without one. Who is asked by forward-auth is the
backend, nginx, which says 200 to everything.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks import bed as beds
from benchmarks import load, peers, workload
from benchmarks.bed import Running
from benchmarks.peers import Target
from benchmarks.run import REST, measure

ISSUER, AUDIENCE, KEY_ID = "https://idp.example", "shop", "bench"
VERIFY = "/verify"
JWT_AUTHN = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
MANY = 100_000  # API keys in the file


@dataclass(frozen=True, slots=True)
class Material:
    """What clients show, and where the proxies find what they compare it with."""

    token: str
    jwks: str
    api_key: str
    directory: Path


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.access_peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default="", help="names, separated by commas")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory, beds.make() as bed:
        made = material(Path(directory))
        wanted = [
            t
            for t in targets(made, bed.backend)
            if not options.only or t.name in options.only.split(",")
        ]
        asked = requests(made)

        def answers(proxy: Running) -> bool:
            try:
                return beds.ask(proxy.port, asked[0])[0] == 200
            except OSError:
                return False

        here = [target for target in wanted if not peers.missing(target)]
        running = [bed.start(target, answers=answers) for target in here]
        for proxy in running:
            _check(proxy, asked[0])
            load.run(proxy.port, 1, bed.back, bed.directory, requests=asked)
        time.sleep(REST)
        took: dict[str, list[float]] = {proxy.target.name: [] for proxy in running}
        for number in range(options.rounds):
            shift = number % len(running)
            for proxy in running[shift:] + running[:shift]:
                one = measure(bed, proxy, number, options.seconds, asked)
                took[proxy.target.name].append(one.cpu * 1e6)
                if one.errors:
                    print(f"{proxy.target.name}: {one.errors} errors", file=sys.stderr)
    print(table(took))
    return 0


def table(took: Mapping[str, Sequence[float]]) -> str:
    """Medians in µs, and what the check adds to the same proxy without one."""
    lines = [f"{'proxy and check':28} {'µs':>7} {'added':>7}   rounds"]
    for name, values in took.items():
        plain = took.get(name.partition("+")[0], values)
        added = median(values) - median(plain)
        rounds = " ".join(f"{value:.1f}" for value in values)
        lines.append(f"{name:28} {median(values):7.1f} {added:7.1f}   {rounds}")
    return "\n".join(lines)


def requests(made: Material) -> list[bytes]:
    """The workload, with a token and a key in each of them."""
    old = f"Authorization: {dict(workload.FIELDS)['Authorization']}".encode()
    new = f"Authorization: Bearer {made.token}\r\nX-Api-Key: {made.api_key}".encode()
    return [workload.request(trace).replace(old, new) for trace in workload.trace_ids()]


def targets(made: Material, backend: int) -> list[Target]:
    """Each proxy without a check, then with one after the other."""
    by_name = {target.name: target for target in peers.TARGETS}
    spangate, envoy, traefik = (
        by_name[name] for name in ("spangate-100", "envoy-traced", "traefik-traced")
    )
    (made.directory / "jwks.json").write_text(made.jwks)
    token = f'jwt = {{ issuer = "{ISSUER}", audience = ["{AUDIENCE}"], jwks = "@JWKS" }}'
    token = token.replace("@JWKS", str(made.directory / "jwks.json"))
    asking = 'forward = { to = "http://127.0.0.1:@BACKEND@' + VERIFY + '"@MORE }'
    key = f'api_key = {{ file = "{made.directory}/keys.toml" }}'
    return [
        replace(spangate, name="spangate", files={"spangate.toml": "spangate.toml"},
                command=_named(spangate, "spangate")),
        _ours(spangate, "spangate+jwt", token),
        _ours(spangate, "spangate+api-key", key),
        _ours(spangate, "spangate+forward", asking.replace("@MORE", "")),
        _ours(spangate, "spangate+forward-cached", asking.replace("@MORE", ', cache = "10s"')),
        replace(envoy, name="envoy", files={"envoy.yaml": "envoy.yaml"},
                command=_named(envoy, "envoy")),
        _envoy(envoy, "envoy+jwt", made.jwks, ""),
        _envoy(envoy, "envoy+jwt-cached", made.jwks, "{jwt_cache_size: 100}"),
        replace(traefik, name="traefik", files={**_renamed(traefik, "traefik")},
                command=_named(traefik, "traefik")),
        _traefik(traefik, "traefik+forward", made.directory, backend),
    ]  # fmt: skip


def _named(target: Target, name: str) -> list[str]:
    return [part.replace(target.name, name) for part in target.command]


def _renamed(target: Target, name: str) -> dict[str, str]:
    return {file.replace(target.name, name): text for file, text in target.files.items()}


def _ours(target: Target, name: str, check: str) -> Target:
    tables = f'[auth.a]\n{check}\n\n[defaults]\nauth = "a"\n\n'
    return replace(
        target,
        name=name,
        files=_renamed(target, name),
        command=_named(target, name),
        edits={"[upstream.backend]": tables + "[upstream.backend]"},
    )


def _envoy(target: Target, name: str, jwks: str, cache: str) -> Target:
    kept = f"jwt_cache_config: {cache}" if cache else "forward: true"
    quoted = jwks.replace("'", "''")
    config = f"""          http_filters:
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": {JWT_AUTHN}
              providers:
                idp:
                  issuer: {ISSUER}
                  audiences: [{AUDIENCE}]
                  {kept}
                  local_jwks: {{inline_string: '{quoted}'}}
              rules:
              - match: {{prefix: "/"}}
                requires: {{provider_name: idp}}
"""
    return replace(
        target,
        name=name,
        files=_renamed(target, name),
        command=_named(target, name),
        edits={"          http_filters:\n": config},
    )


def _traefik(target: Target, name: str, directory: Path, backend: int) -> Target:
    """With the check on all that comes in; its file of routes is another one."""
    routes = (peers.HERE / "peers" / "traefik-routes.yaml").read_text()
    routes += f"""  middlewares:
    auth: {{forwardAuth: {{address: "http://127.0.0.1:{backend}{VERIFY}"}}}}
"""
    (directory / "routes.yaml").write_text(peers.fill(routes, {"BACKEND": str(backend)}))
    port = 'address: "127.0.0.1:@PORT@"\n'
    return replace(
        target,
        name=name,
        files={f"{name}.yaml": "traefik.yaml"},
        command=_named(target, name),
        edits={
            "@DIR@/routes.yaml": f"{directory}/routes.yaml",
            port: port + "    http: {middlewares: [auth@file]}\n",
        },
    )


def _check(proxy: Running, good: bytes) -> None:
    """RuntimeError unless it lets in who has what it asks for, and nobody else."""
    if (status := beds.ask(proxy.port, good)[0]) != 200:
        raise RuntimeError(f"{proxy.target.name} answered {status} to a good request")
    if "forward" in proxy.target.name or "+" not in proxy.target.name:
        return
    bad = good.replace(b"Authorization: Bearer ", b"Authorization: Bearer x")
    bad = bad.replace(b"X-Api-Key: ", b"X-Api-Key: x")
    if (status := beds.ask(proxy.port, bad)[0]) != 401:
        raise RuntimeError(f"{proxy.target.name} answered {status} to a bad token or key")


def material(directory: Path) -> Material:
    """A token, its issuer's keys, and a file of API keys."""
    from base64 import urlsafe_b64encode

    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    def coded(data: bytes) -> str:
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    def number(value: int) -> str:
        return coded(value.to_bytes((value.bit_length() + 7) // 8, "big"))

    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": KEY_ID, "alg": "RS256", "use": "sig"}
    jwk |= {"n": number(public.n), "e": number(public.e)}
    head = coded(json.dumps({"alg": "RS256", "kid": KEY_ID, "typ": "JWT"}).encode())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "exp": int(time.time()) + 86400}
    signed = f"{head}.{coded(json.dumps(claims).encode())}"
    token = f"{signed}.{coded(private.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"
    return Material(token, json.dumps({"keys": [jwk]}), _keys(directory), directory)


def _keys(directory: Path) -> str:
    """A file of many API keys; one of them."""
    from hashlib import sha256
    from secrets import randbelow

    from proxy.config import key_form

    lines = []
    shown = ""
    for number in range(MANY):
        shown = key_form.new(randbelow)
        hashed = sha256(shown.encode()).hexdigest()
        lines.append(f'[[key]]\nname = "consumer-{number}"\nhash = "sha256:{hashed}"\n')
    (directory / "keys.toml").write_text("\n".join(lines))
    return shown


if __name__ == "__main__":
    sys.exit(main())
