"""A recording checked against itself: counts, digests, books and coverage."""

from monitor.verify.verification import CLIPPED, Order, verify

__all__ = [
    "CLIPPED",
    "Order",
    "verify",
]
