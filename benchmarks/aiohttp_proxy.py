"""The reverse proxy one writes in an afternoon: aiohttp's server and client, streaming, on uvloop.

`python -m benchmarks.aiohttp_proxy PORT BACKEND_PORT`. No tracing, no limits, no routing: the
price of the two libraries alone.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

HOP_BY_HOP = ("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade")
SESSION = web.AppKey("session", ClientSession)
BACKEND = web.AppKey("backend", str)


async def forward(request: web.Request) -> web.StreamResponse:
    """Send the request on and stream the answer back."""
    headers = _end_to_end(request.headers)
    headers["X-Forwarded-For"] = request.remote or ""
    headers["X-Forwarded-Proto"] = request.scheme
    target = URL(request.app[BACKEND] + request.raw_path, encoded=True)
    body = request.content if request.body_exists else None
    async with request.app[SESSION].request(
        request.method, target, headers=headers, data=body, allow_redirects=False
    ) as answer:
        response = web.StreamResponse(
            status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers)
        )
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=3600),
        auto_decompress=False,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None),
    ) as session:
        app[SESSION] = session
        yield


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in HOP_BY_HOP:
        kept.popall(name, None)
    return kept


def main(port: int, backend: int) -> None:
    """Serve until told to stop."""
    uvloop.install()
    app = web.Application()
    app[BACKEND] = f"http://127.0.0.1:{backend}"
    app.cleanup_ctx.append(_session)
    app.router.add_route("*", "/{tail:.*}", forward)
    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        access_log=None,
        print=None,
        keepalive_timeout=3600,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
