"""Lines of a file of passwords: how a hash is made, and the text with the line of a name."""

from __future__ import annotations

from proxy.config.password_hashes import BCRYPT_MOST

# OWASP's first choice for Argon2id that does not ask for much memory: 19 MiB, 2 passes, 1 lane
# (Password Storage Cheat Sheet, 2025). 25 ms here; a gateway hashes while others wait.
MEMORY, TURNS, LANES = 19 * 1024, 2, 1
COST = 12  # of bcrypt, 2**12 turns: 0.2 s


def hashed(password: str, by_bcrypt: bool) -> str:
    """The hash with a new salt. ValueError if the password cannot be one."""
    encoded = password.encode("utf-8")
    if not password:
        raise ValueError("the password is empty")
    if any(ord(one) < 32 or 127 <= ord(one) < 160 for one in password):
        raise ValueError("a password has no control characters (RFC 7617)")
    if len(encoded) > 1024:
        raise ValueError("a password has 1024 bytes at most")
    if by_bcrypt:
        if len(encoded) > BCRYPT_MOST:
            raise ValueError(f"bcrypt does not see more than {BCRYPT_MOST} bytes")
        import bcrypt

        return bcrypt.hashpw(encoded, bcrypt.gensalt(COST)).decode("ascii")
    from argon2 import PasswordHasher

    return PasswordHasher(TURNS, MEMORY, LANES).hash(encoded)


def with_line(text: str, name: str, hashed: str) -> tuple[str, bool]:
    """`text` with NAME:HASH in the place of the name's line, or at its end; and whether the name
    was there."""
    lines = text.split("\n")
    mine = [n for n, line in enumerate(lines) if line.partition(":")[0] == name and ":" in line]
    if mine:
        lines[mine[0]] = f"{name}:{hashed}"
        for other in reversed(mine[1:]):
            del lines[other]
        return "\n".join(lines), True
    before = text.rstrip("\n")
    return f"{before}\n{name}:{hashed}\n" if before else f"{name}:{hashed}\n", False
