"""Run the event loop's timers on monotonic time instead of the wall clock."""

from __future__ import annotations

import time

import tornado.ioloop


def steady() -> tornado.ioloop.IOLoop:
    """Return this thread's event loop, with timers that run on monotonic time.

    Tornado's `PeriodicCallback` uses `IOLoop.time`, the wall clock: after a step back of an hour it
    stops for an hour. Tornado's documentation allows another clock in its place.
    """
    loop = tornado.ioloop.IOLoop.current()
    loop.time = time.monotonic  # type: ignore[method-assign]
    return loop
