"""gRPC's own client of xDS: `python -m tests.peers.xds_grpc_client PORT TARGET`, calls as JSON on
stdin, what each of them got as JSON on stdout.

It reads its bootstrap from the environment when it is first used, so it is a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def bootstrap(port: int) -> str:
    server = {
        "server_uri": f"127.0.0.1:{port}",
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    }
    return json.dumps({"xds_servers": [server], "node": {"id": "grpc", "cluster": "shop"}})


def call(channel: Any, method: str, metadata: dict[str, str]) -> str:
    """What the server says of itself, or the status."""
    import grpc

    try:
        answer = channel.unary_unary(method)(
            b"", metadata=list(metadata.items()), timeout=20, wait_for_ready=False
        )
    except grpc.RpcError as error:
        return str(error.code().name)
    return bytes(answer).decode()


def main() -> None:
    port, target = sys.argv[1:]
    os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = bootstrap(int(port))
    import grpc

    with grpc.insecure_channel(f"xds:///{target}") as channel:
        calls = json.load(sys.stdin)
        json.dump([call(channel, method, metadata) for method, metadata in calls], sys.stdout)


if __name__ == "__main__":
    main()
