"""The command `password`: hash a password for the configuration file."""

from __future__ import annotations

import getpass
import sys

from monitor.cli import support


def password() -> None:
    """Read a password, without echo or from standard input; print its hash."""
    from monitor.settings import passwords

    if sys.stdin.isatty():
        given = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != given:
            support.fail("expected the same password twice, found two", support.FAILURE)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not 8 <= len(given) <= passwords.MAX_PASSWORD_CHARS:
        support.fail(
            f"expected a password of 8 to {passwords.MAX_PASSWORD_CHARS} characters, "
            f"found {len(given)}",
            support.FAILURE,
        )
    print(passwords.hash_password(given))
