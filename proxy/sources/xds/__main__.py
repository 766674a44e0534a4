"""Started by the hub: `python -m proxy.sources.xds --link FD`."""

from __future__ import annotations

import asyncio
import sys

MISSING = 3  # exit status: grpcio is not installed

if __name__ == "__main__":
    try:
        from proxy.sources.xds.process import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("grpc", "google"):
            raise
        sys.exit(MISSING)
    asyncio.run(serve(int(sys.argv[2])))
