"""An assembler for eBPF, as small as what is written with it: instructions with labels to bytes.

Pure. Documentation/bpf/standardization/instruction-set.rst: eight bytes each, opcode, registers,
offset, immediate value. Little-endian machines only, which is where Linux runs today.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)

_SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}  # B, H, W, DW
_LD_MAP = 1  # BPF_PSEUDO_MAP_FD


@dataclass(slots=True)
class Code:
    """Instructions, in their order. Jumps go to labels that are given later, as kernels want it."""

    _made: list[tuple[int, int, int, int, int, str]] = field(default_factory=list)
    _labels: dict[str, int] = field(default_factory=dict)
    _names: int = 0

    def label(self, name: str) -> None:
        """Where jumps to `name` arrive."""
        self._labels[name] = len(self._made)

    def new_label(self) -> str:
        """A name that nobody else has."""
        self._names += 1
        return f".{self._names}"

    def load(self, to: int, base: int, offset: int, size: int = 4) -> None:
        """to = *(base + offset); LDX MEM."""
        self._add(0x61 | _SIZES[size], to, base, offset, 0)

    def store(self, base: int, offset: int, value: int, size: int = 4) -> None:
        """*(base + offset) = value, a register; STX MEM."""
        self._add(0x63 | _SIZES[size], base, value, offset, 0)

    def set(self, to: int, value: int) -> None:
        """to = value, 32 bits, the upper half zero: ALU MOV K."""
        self._add(0xB4, to, 0, 0, _signed(value))

    def copy(self, to: int, value: int) -> None:
        """to = value, a register; ALU64 MOV X."""
        self._add(0xBF, to, value, 0, 0)

    def add(self, to: int, value: int) -> None:
        """to += value; ALU64 ADD K."""
        self._add(0x07, to, 0, 0, _signed(value))

    def mask(self, to: int, value: int) -> None:
        """to &= value, 32 bits; ALU AND K."""
        self._add(0x54, to, 0, 0, _signed(value))

    def shift_right(self, to: int, bits: int) -> None:
        """to >>= bits; ALU64 RSH K."""
        self._add(0x77, to, 0, 0, bits)

    def map(self, to: int, fd: int) -> None:
        """to = the map that is open as `fd`; LD IMM DW, which takes two places."""
        self._add(0x18, to, _LD_MAP, 0, fd)
        self._add(0x00, 0, 0, 0, 0)

    def call(self, helper: int) -> None:
        """r0 = helper(r1, …, r5); they are lost."""
        self._add(0x85, 0, 0, 0, helper)

    def jump(self, name: str) -> None:
        """JA."""
        self._add(0x05, 0, 0, 0, 0, name)

    def if_equal(self, left: int, value: int, name: str) -> None:
        """32 bits; JMP32 JEQ K."""
        self._add(0x16, left, 0, 0, _signed(value), name)

    def if_other(self, left: int, value: int, name: str) -> None:
        """32 bits; JMP32 JNE K."""
        self._add(0x56, left, 0, 0, _signed(value), name)

    def if_null(self, pointer: int, name: str) -> None:
        """JMP JEQ K, which is what the verifier knows pointers by."""
        self._add(0x15, pointer, 0, 0, 0, name)

    def exit(self) -> None:
        """Return r0."""
        self._add(0x95, 0, 0, 0, 0)

    def assemble(self) -> bytes:
        """KeyError for a label that is nowhere; struct.error if a jump is too far, 32767 places."""
        words = []
        for place, (code, to, base, offset, value, name) in enumerate(self._made):
            far = self._labels[name] - place - 1 if name else offset
            words.append(struct.pack("<BBhi", code, base << 4 | to, far, value))
        return b"".join(words)

    def _add(self, code: int, to: int, base: int, offset: int, value: int, name: str = "") -> None:
        self._made.append((code, to, base, offset, value, name))


def _signed(value: int) -> int:
    """The same 32 bits, as `struct` takes them."""
    return value - 2**32 if value >= 2**31 else value
