"""Which door a listener gets: that of a gateway, or one of a sidecar's two.

What a sidecar needs is imported where there is one: a gateway has no use for it.
"""

from __future__ import annotations

from proxy.config.model import Config
from proxy.server.door import Door
from proxy.server.house import House
from proxy.server.listener import Listener
from proxy.server.serve import tell


def door(house: House, listener: Listener) -> Door:
    """For that listener, by the configuration in force."""
    side = "" if house.mesh is None else house.mesh.sides.get(listener.address, "")
    if not side:
        return Door(house, listener, tell)
    from proxy.server.mesh_door import MeshDoor

    house.mesh.listens(listener.socket.getsockname()[1])
    return MeshDoor(house, listener, house.mesh, side)


def be_sidecar(house: House, config: Config) -> None:
    """Go by the `[mesh]` of a configuration that comes into force."""
    from proxy.server.mesh_sidecar import Sidecar

    house.mesh = house.mesh or Sidecar(house)
    house.mesh.follow(config)
