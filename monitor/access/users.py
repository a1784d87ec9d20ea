"""Users and their roles, the limit on failed logins, and login cookies."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from monitor.settings import Role, hash_password, is_password

FINGERPRINT_CHARS = 16
# The first five failures cost nothing; each further one doubles the wait.
FREE_FAILURES, FIRST_WAIT_S, LONGEST_WAIT_S = 5, 1.0, 300.0
FORGOTTEN_AFTER_S = 900.0
MAX_KEYS = 10_000


class Viewer(NamedTuple):
    """The viewer of a page; without users there are no names, and everybody may act."""

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


class Users:
    """The configured users: checks passwords and reads login cookies."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = dict(users)
        # An unknown name takes as long as a known one.
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
        """Return the contents of a user's login cookie; the caller signs it."""
        return f"{name} {self._fingerprint(name)}"

    def of_cookie(self, text: str) -> Viewer | None:
        """Return the user of a signed cookie; None if the password has changed since."""
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
    """Failed logins by user and by address; bounded, and forgotten after a while."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, keys: list[str], now_s: float) -> float:
        """Return the wait in s before the next attempt with any of these keys."""
        waits = [0.0]
        for key in keys:
            count, last_s = self._failures.get(key, (0, -math.inf))
            if count > FREE_FAILURES and now_s - last_s < FORGOTTEN_AFTER_S:
                doubled = FIRST_WAIT_S * 2 ** min(count - FREE_FAILURES - 1, 16)
                waits.append(last_s + min(doubled, LONGEST_WAIT_S) - now_s)
        return max(waits)

    def begin(self, keys: list[str], now_s: float) -> None:
        """Count an attempt as failed before it is checked: parallel attempts all count."""
        for key in keys:
            count, last_s = self._failures.pop(key, (0, now_s))
            count = count if now_s - last_s < FORGOTTEN_AFTER_S else 0
            self._failures[key] = (count + 1, now_s)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, user: str, others: list[str]) -> None:
        """Clear the user's failures; of the address's count subtract only this attempt."""
        self._failures.pop(user, None)
        for key in others:
            count, last_s = self._failures.get(key, (1, 0.0))
            self._failures[key] = (count - 1, last_s)


def of_address(address: str) -> str:
    """Return the key of an address; for IPv6 its /64 network, which has one owner."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return f"address {address}"
    if isinstance(parsed, IPv6Address):
        return f"address {int(parsed) >> 64:x}"
    return f"address {parsed}"
