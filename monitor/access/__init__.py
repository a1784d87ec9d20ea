"""Access to the page: addresses, users, logins, roles and security headers."""

from monitor.access.exposure import SECRET_VARIABLE, Exposure, Finding, check, expose
from monitor.access.gate import COOKIE, HEADERS, Gate, guard
from monitor.access.login_page import Desk, routes
from monitor.access.users import NOBODY, Users, Viewer

__all__ = [
    "COOKIE",
    "HEADERS",
    "NOBODY",
    "SECRET_VARIABLE",
    "Desk",
    "Exposure",
    "Finding",
    "Gate",
    "Users",
    "Viewer",
    "check",
    "expose",
    "guard",
    "routes",
]
