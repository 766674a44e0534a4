"""The control plane that tests of whole conversations talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # it needs xds-protos, without which the tests are skipped
    from tests.peers.xds_server import Server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    from tests.peers.xds_server import Server

    one = Server()
    await one.start()
    yield one
    await one.stop()
