"""Password hashes in the configuration file, and valid user names."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import Literal

Role = Literal["viewer", "operator"]

# 32 MiB and about a tenth of a second for every guess.
COST, BLOCK, PARALLEL = 2**15, 8, 1
MAX_COST, MAX_BLOCK, MAX_PARALLEL = 2**18, 16, 4
MAX_PASSWORD_CHARS = 1024
SALT_BYTES, HASH_BYTES = 16, 32
HASH = re.compile(r"scrypt\$(\d+)\$(\d+)\$(\d+)\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)")
NAME = r"^[A-Za-z0-9._@-]{1,64}$"


def hash_password(password: str) -> str:
    """Return `scrypt$N$r$p$SALT$HASH` for the configuration file."""
    salt = secrets.token_bytes(SALT_BYTES)
    found = _scrypt(password, salt, (COST, BLOCK, PARALLEL), HASH_BYTES)
    texts = (base64.b64encode(part).decode() for part in (salt, found))
    return "$".join(("scrypt", str(COST), str(BLOCK), str(PARALLEL), *texts))


def check_hash(text: str) -> str:
    """Return a valid password hash; ValueError says what was expected."""
    _parse(text)
    return text


def is_password(password: str, password_hash: str) -> bool:
    """Return whether the password is right, in constant time."""
    costs, salt, expected = _parse(password_hash)
    return hmac.compare_digest(_scrypt(password, salt, costs, len(expected)), expected)


def _parse(text: str) -> tuple[tuple[int, int, int], bytes, bytes]:
    found = HASH.fullmatch(text)
    if found is None:
        raise ValueError("expected a hash as `monitor password` prints it")
    costs = (int(found[1]), int(found[2]), int(found[3]))
    most = (MAX_COST, MAX_BLOCK, MAX_PARALLEL)
    if not all(1 <= cost <= limit for cost, limit in zip(costs, most, strict=True)):
        raise ValueError(f"expected costs of at most {most}")
    if costs[0] < 2 or costs[0] & (costs[0] - 1):
        raise ValueError("expected a first cost that is a power of two")
    return costs, base64.b64decode(found[4]), base64.b64decode(found[5])


def _scrypt(password: str, salt: bytes, costs: tuple[int, int, int], length: int) -> bytes:
    cost, block, parallel = costs
    memory = 2 * 128 * block * (cost + parallel)
    return hashlib.scrypt(
        password.encode(), salt=salt, n=cost, r=block, p=parallel, dklen=length, maxmem=memory
    )
