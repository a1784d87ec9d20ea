"""The collector's HTTP port: health and metrics are open, the rest needs the lock file's token."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Protocol

import tornado.web
from tornado.iostream import StreamClosedError

from monitor.alerting import Alerting
from monitor.collector.publisher import BehindError, Publisher, Stream
from monitor.settings import is_loopback

JSON = "application/json; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Collector(Protocol):
    """What the port needs of the collector."""

    token: str
    publisher: Publisher
    alerting: Alerting

    def health(self) -> dict[str, Any]: ...
    def metrics(self) -> bytes: ...
    def about(self) -> dict[str, Any]: ...
    def control(self, action: str, sources: list[Any]) -> str: ...
    def snapshot(self) -> str: ...
    def reload_hooks(self) -> dict[str, Any]: ...


class _Handler(tornado.web.RequestHandler):
    collector: Collector

    def initialize(self, collector: Collector) -> None:
        self.collector = collector

    def prepare(self) -> None:
        # DNS rebinding: a foreign web page can let its name resolve to this address.
        if not is_loopback(self.request.host_name.strip("[]")):
            raise tornado.web.HTTPError(403, reason="expected this machine as the host")

    def answer(self, value: dict[str, Any], status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", JSON)
        self.finish(json.dumps(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.answer({"error": self._reason}, status_code)


class _Guarded(_Handler):
    def prepare(self) -> None:
        super().prepare()
        given = self.request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.collector.token}".encode()):
            raise tornado.web.HTTPError(401, reason="expected the token of the lock file")
        if "Origin" in self.request.headers:
            raise tornado.web.HTTPError(403, reason="expected no browser")


class _Health(_Handler):
    def get(self) -> None:
        health = self.collector.health()
        self.answer(health, 503 if health["status"] == "failed" else 200)


class _Metrics(_Handler):
    def get(self) -> None:
        self.set_header("Content-Type", METRICS)
        self.finish(self.collector.metrics())


class _Tail(_Guarded):
    async def get(self) -> None:
        publisher = self.collector.publisher
        # A page shows the present; a recorder needs every row.
        stream = Stream(publisher, leads_to_now=self.get_query_argument("now", "") == "1")
        publisher.followers += 1
        self.set_header("Content-Type", "application/vnd.apache.arrow.stream")
        try:
            self.write(stream.head)
            while True:
                data = stream.next_bytes()
                for part in data:
                    self.write(part.to_pybytes())
                # Waiting for the flush is the back-pressure: a slow follower delays only itself.
                await self.flush()
                if not data:
                    await publisher.packed.wait()
        except (StreamClosedError, BehindError):
            # The follower has gone, or must attach again.
            return
        finally:
            publisher.followers -= 1


class _Sources(_Guarded):
    async def get(self) -> None:
        self.answer(await _in_thread(self.collector.about))

    async def post(self) -> None:
        try:
            wanted = json.loads(self.request.body)
            action, sources = wanted["action"], wanted.get("sources", [])
            note = await _in_thread(lambda: self.collector.control(action, sources))
        except (ValueError, KeyError, TypeError, OSError) as error:
            self.answer({"error": f"{error}"}, 400)
            return
        self.answer({**await _in_thread(self.collector.about), "note": note})


class _Hooks(_Guarded):
    async def post(self) -> None:
        try:
            action = json.loads(self.request.body)["action"]
            if action != "reload":
                raise ValueError(f"expected the action reload, found {action!r}")
        except (ValueError, KeyError, TypeError) as error:
            self.answer({"error": f"{error}"}, 400)
            return
        self.answer(await _in_thread(self.collector.reload_hooks))


class _Alerts(_Guarded):
    def get(self) -> None:
        alerting = self.collector.alerting
        self.answer({**alerting.alerts.document(), "rules": alerting.described()})

    async def post(self) -> None:
        try:
            wanted = json.loads(self.request.body)
            await _in_thread(lambda: self.collector.alerting.act(wanted, time.time_ns()))
        except (ValueError, KeyError, TypeError, OSError) as error:
            self.answer({"error": f"{error}"}, 400)
            return
        self.get()


class _Snapshot(_Guarded):
    async def post(self) -> None:
        try:
            path = await _in_thread(self.collector.snapshot)
        except FileNotFoundError as error:
            self.answer({"error": f"{error}"}, 404)
            return
        except (OSError, TimeoutError) as error:
            self.answer({"error": f"{error}"}, 503)
            return
        self.answer({"path": path})


def application(collector: Collector) -> tornado.web.Application:
    """Create the web application of the collector's port."""
    handlers = {
        "/health": _Health,
        "/metrics": _Metrics,
        "/tail": _Tail,
        "/sources": _Sources,
        "/snapshot": _Snapshot,
        "/hooks": _Hooks,
        "/alerts": _Alerts,
    }
    arguments = {"collector": collector}
    return tornado.web.Application(
        [(path, handler, arguments) for path, handler in handlers.items()],
        log_function=lambda _: None,
    )


async def _in_thread(function: Callable[[], Any]) -> Any:
    return await tornado.ioloop.IOLoop.current().run_in_executor(None, function)
