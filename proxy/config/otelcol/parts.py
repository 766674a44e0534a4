"""Tables that several components of a collector have: TLS, queues, retrying, headers."""

from __future__ import annotations

import base64
import posixpath
from typing import Any

from proxy.config.locate import Path
from proxy.config.otelcol.out import is_true, like
from proxy.config.otelcol.rules import Walk, ignored, in_unit, refused, same, silent, to, whole

TUNING = ignored("buffers and connections are not tuned here")

CLIENT_TLS: dict[str, Any] = {
    "insecure": silent,  # looked at by the exporter
    "insecure_skip_verify": same,
    "ca_file": to("tls", "ca"),
    "cert_file": to("tls", "cert"),
    "key_file": to("tls", "key"),
    "min_version": ignored("TLS 1.2 is the least"),
    "max_version": ignored("the newest version that both know is used"),
    "reload_interval": ignored("certificates are read when the file is: send HUP"),
    "include_system_ca_certs_pool": ignored("with ca_file, that file alone is trusted"),
    "cipher_suites": ignored("the library's are used"),
    "curve_preferences": ignored("the library's are used"),
    **dict.fromkeys(
        ("ca_pem", "cert_pem", "key_pem"), refused("write it to a file: ca_file, cert_file")
    ),
    "server_name_override": refused("use the name of the certificate in `endpoint`"),
    "tpm": refused("use key_file"),
}
SERVER_TLS: dict[str, Any] = {
    "cert_file": to("tls", "cert"),
    "key_file": to("tls", "key"),
    "client_ca_file": to("tls", "client_ca"),
    "ca_file": ignored("clients are checked against client_ca_file"),
    "min_version": ignored("TLS 1.2 is the least"),
    "max_version": ignored("the newest version that both know is used"),
    "reload_interval": ignored("certificates are read when the file is: send HUP"),
    "client_ca_file_reload": silent,
    "cipher_suites": ignored("the library's are used"),
}
RETRY: dict[str, Any] = {
    "enabled": same,
    "initial_interval": same,
    "max_interval": same,
    "max_elapsed_time": same,
    "randomization_factor": ignored("pauses vary by up to half"),
    "multiplier": ignored("pauses double"),
}


def compression(*known: str) -> Any:
    """The Collector compresses with gzip unless it is told not to."""

    def rule(walk: Walk, value: Any, source: Path) -> None:
        name = str(value or "none")
        if name not in known:
            walk.report.warn(source, f"{name!r} is not known here, gzip is used", "write gzip")
            name = "gzip"
        walk.put(like(name, value), source, "compression")

    return rule


def headers(walk: Walk, value: Any, source: Path) -> None:
    """A table, or a list of { name, value }."""
    if isinstance(value, list):
        value = {item.get("name"): item.get("value") for item in value if isinstance(item, dict)}
    if not isinstance(value, dict):
        walk.report.error(source, "expected a table")
        return
    for name, text in value.items():
        if text is not None:
            shown = text if isinstance(text, str) else str(text)
            walk.put(shown, (*source, name), "headers", str(name))


def queue(walk: Walk, value: Any, source: Path) -> None:
    if is_true(value.get("enabled", True)) if isinstance(value, dict) else False:
        walk.table(_QUEUE, value, source, ("sending_queue",))
        _queue_size(walk, value, source)
    elif isinstance(value, dict):
        why = "there is always a queue; it holds 64 MiB"
        walk.report.warn((*source, "enabled"), "this is ignored", why)
    elif value is not None:
        walk.report.error(source, "expected a table")


def _queue_size(walk: Walk, value: dict[str, Any], source: Path) -> None:
    if "queue_size" not in value:
        return
    place = (*source, "queue_size")
    if value.get("sizer") != "bytes":
        why = "a queue is measured in bytes here, and holds 64 MiB"
        walk.report.warn(place, "this is ignored", why)
        return
    try:
        walk.put(whole(value["queue_size"], "B"), place, "sending_queue", "queue_size")
    except ValueError as error:
        walk.report.error(place, str(error))


def _extension(walk: Walk, id: Any) -> dict[str, Any] | None:
    """The table of an extension; None if there is none of that id."""
    extensions = walk.root.get("extensions")
    if not isinstance(extensions, dict) or not isinstance(id, str) or id not in extensions:
        return None
    return walk.out.keys(extensions[id], ("extensions", id))


def _storage(walk: Walk, value: Any, source: Path) -> None:
    """The id of a file_storage extension; each queue gets a directory in its own."""
    if value is None:
        return
    found = _extension(walk, value)
    if found is None or str(value).partition("/")[0] != "file_storage":
        remedy = "write extensions: {file_storage: {directory: …}}"
        walk.report.error(source, f"there is no file_storage {value!r}", remedy)
        return
    directory = found.get("directory") or "/var/lib/otelcol/file_storage"
    inside = walk.id.replace("/", "_").replace("..", "_")
    place = posixpath.join(str(directory), inside)
    walk.put(like(place, directory), source, "sending_queue", "storage")


_QUEUE: dict[str, Any] = {
    "enabled": silent,
    "num_consumers": same,
    "queue_size": silent,
    "sizer": silent,
    "storage": _storage,
    "block_on_overflow": ignored("what finds no room is refused, and counted"),
    "wait_for_result": ignored("a receiver answers when the queue has it"),
    "batch": ignored("use the batch processor"),
}


def auth(walk: Walk, value: Any, source: Path) -> None:
    """`authenticator` names an extension; those that are constant become a header."""
    id = value.get("authenticator") if isinstance(value, dict) else value
    table = _extension(walk, id)
    kind = str(id).partition("/")[0]
    if kind in ("basicauth", "basic_auth") and table is not None:
        _basic(walk, walk.out.keys(table.get("client_auth"), ("extensions", str(id))), source)
    elif kind in ("bearertokenauth", "bearer_token_auth") and table is not None:
        token, scheme = table.get("token"), table.get("scheme", "Bearer")
        if token is None:
            walk.report.error(source, f"{id!r} has no `token`", "write token: ${file:/run/token}")
            return
        walk.put(like(f"{scheme} {token}", token), source, "headers", "authorization")
    else:
        remedy = "basicauth and bearertokenauth are known; else write headers: {authorization: …}"
        walk.report.error(source, f"no authenticator {id!r} here", remedy)


def _basic(walk: Walk, table: dict[str, Any], source: Path) -> None:
    user, password = table.get("username", ""), table.get("password", "")
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    walk.put(like(f"Basic {pair}", password), source, "headers", "authorization")


def server_auth(walk: Walk, value: Any, source: Path) -> None:
    """Who may send."""
    id = value.get("authenticator") if isinstance(value, dict) else value
    table = _extension(walk, id)
    if str(id).partition("/")[0] in ("bearertokenauth", "bearer_token_auth") and table is not None:
        tokens = walk.out.items(table.get("tokens"), ("extensions", str(id)))
        wanted = [token for token in (*tokens, table.get("token")) if token is not None]
        walk.put(wanted, source, "auth", "bearer")
        return
    walk.report.error(source, f"no authenticator {id!r} here", "bearertokenauth is known")


EXPORTER: dict[str, Any] = {
    "tls": CLIENT_TLS,
    "headers": headers,
    "auth": auth,
    "timeout": same,
    "retry_on_failure": RETRY,
    "sending_queue": queue,
    **dict.fromkeys(
        (
            "keepalive", "read_buffer_size", "write_buffer_size", "wait_for_ready",
            "balancer_name", "max_idle_conns", "max_idle_conns_per_host", "max_conns_per_host",
            "idle_conn_timeout", "disable_keep_alives", "http2_read_idle_timeout",
            "http2_ping_timeout", "force_attempt_http2", "cookies", "compression_params",
        ),
        TUNING,
    ),
    "proxy_url": refused("reach the back end directly"),
    "authority": refused("use the name in `endpoint`"),
    "middlewares": refused("leave it out"),
}  # fmt: skip
MIB = in_unit("MiB")
