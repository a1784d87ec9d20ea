"""Who may look and who may act: password hashes, logins that fail too often, and login cookies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Literal, NamedTuple

Role = Literal["viewer", "operator"]

# 32 MiB and about a tenth of a second for every guess.
COST, BLOCK, PARALLEL = 2**15, 8, 1
MAX_COST, MAX_BLOCK, MAX_PARALLEL = 2**18, 16, 4
SALT_BYTES, HASH_BYTES, FINGERPRINT_CHARS = 16, 32, 16
MAX_PASSWORD_CHARS = 1024
HASH = re.compile(r"scrypt\$(\d+)\$(\d+)\$(\d+)\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)")
NAME = r"^[A-Za-z0-9._@-]{1,64}$"
# So many failures in a row are nobody's business; then every further one doubles the wait.
FREE_FAILURES, FIRST_WAIT_S, LONGEST_WAIT_S = 5, 1.0, 300.0
FORGOTTEN_AFTER_S = 900.0
MAX_KEYS = 10_000


class Viewer(NamedTuple):
    """Who looks at a page; without users there are no names, and everybody may act."""

    name: str | None
    role: Role

    @property
    def may_act(self) -> bool:
        return self.role == "operator"


class User(NamedTuple):
    """A configured user."""

    password_hash: str
    role: Role


EVERYBODY = Viewer(None, "operator")
NOBODY = Viewer(None, "viewer")


def hash_password(password: str) -> str:
    """Return `scrypt$N$r$p$SALT$HASH`, which a configuration file may hold."""
    salt = secrets.token_bytes(SALT_BYTES)
    found = _scrypt(password, salt, (COST, BLOCK, PARALLEL), HASH_BYTES)
    texts = (base64.b64encode(part).decode() for part in (salt, found))
    return "$".join(("scrypt", str(COST), str(BLOCK), str(PARALLEL), *texts))


def check_hash(text: str) -> str:
    """Return a password's hash if it is one; ValueError says what was expected."""
    _parse(text)
    return text


def is_password(password: str, password_hash: str) -> bool:
    """Tell whether this is the password, in a time that says nothing about it."""
    costs, salt, expected = _parse(password_hash)
    return hmac.compare_digest(_scrypt(password, salt, costs, len(expected)), expected)


class Users:
    """The configured users: checks passwords, and reads what a login cookie says."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = dict(users)
        # A name that nobody has takes as long as one that somebody has.
        self._nobodys_hash = hash_password(secrets.token_urlsafe())

    def __bool__(self) -> bool:
        return bool(self._users)

    def __contains__(self, name: str) -> bool:
        return name in self._users

    def is_password(self, name: str, password: str) -> bool:
        user = self._users.get(name)
        is_right = is_password(password, user.password_hash if user else self._nobodys_hash)
        return is_right and user is not None

    def cookie(self, name: str) -> str:
        """Return what the login cookie of a user holds; it is signed by whoever sets it."""
        return f"{name} {self._fingerprint(name)}"

    def of_cookie(self, text: str) -> Viewer | None:
        """Return who a signed cookie was made for; None if that password is another one now."""
        name, _, fingerprint = text.partition(" ")
        if name not in self._users:
            return None
        if not hmac.compare_digest(fingerprint.encode(), self._fingerprint(name).encode()):
            return None
        return Viewer(name, self._users[name].role)

    def _fingerprint(self, name: str) -> str:
        digest = hashlib.sha256(self._users[name].password_hash.encode()).hexdigest()
        return digest[:FINGERPRINT_CHARS]


class Attempts:
    """How often logins failed, by user and by address; bounded, and forgotten after a while."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, keys: list[str], now_s: float) -> float:
        """Return for how long nobody may try by any of these keys."""
        waits = [0.0]
        for key in keys:
            count, last_s = self._failures.get(key, (0, -math.inf))
            if count > FREE_FAILURES and now_s - last_s < FORGOTTEN_AFTER_S:
                doubled = FIRST_WAIT_S * 2 ** min(count - FREE_FAILURES - 1, 16)
                waits.append(last_s + min(doubled, LONGEST_WAIT_S) - now_s)
        return max(waits)

    def begin(self, keys: list[str], now_s: float) -> None:
        """Count an attempt as failed before it is judged: many at once are many."""
        for key in keys:
            count, last_s = self._failures.pop(key, (0, now_s))
            count = count if now_s - last_s < FORGOTTEN_AFTER_S else 0
            self._failures[key] = (count + 1, now_s)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, user: str, others: list[str]) -> None:
        """Forget the user's failures; of the others' only this attempt was none."""
        self._failures.pop(user, None)
        for key in others:
            count, last_s = self._failures.get(key, (1, 0.0))
            self._failures[key] = (count - 1, last_s)


def of_address(address: str) -> str:
    """Return the key of an address; whoever has one of IPv6 has the 64 bits below it too."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return f"address {address}"
    if isinstance(parsed, IPv6Address):
        return f"address {int(parsed) >> 64:x}"
    return f"address {parsed}"


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
