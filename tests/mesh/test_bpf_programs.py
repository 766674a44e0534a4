"""Programs for eBPF, as far as they can be judged without a kernel."""

from __future__ import annotations

import struct

import pytest

from proxy.config.mesh_model import Mesh, MeshExclude
from proxy.mesh import bpf_programs
from proxy.mesh.rules import Own, redirect


def test_more_networks_than_a_jump_is_long_are_refused() -> None:
    networks = [f"10.{i // 256}.{i % 256}.0/32" for i in range(0, 24000, 2)]
    many = redirect(Mesh(exclude=MeshExclude(networks=networks)), Own(0))
    with pytest.raises(struct.error):
        bpf_programs.connect(many, [], 4, 3)
