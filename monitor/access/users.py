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
