"""Deliver signals to webhooks, a command and the log, on one thread that delays nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import requests
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

from monitor.rows import Batch, signal_text
from monitor.settings import DeliverySettings, WebhookSettings

# Above this number waiting signals are dropped, the oldest first.
QUEUE = 1000
TELL_EVERY_S = 10.0
# HTTP statuses after which another attempt may succeed: timeout, too early, too many.
LATER = (408, 425, 429)
# Rows arrive ten times a second; after this long without any, no ping is sent.
FLOW_S = 5.0
LOOK_S = 0.02
CLOSE_S = 1.0

# Called when delivery fails or works again: kind, detail, count of signals.
OnStatus = Callable[[str, str, int | None], None]
Document = dict[str, Any]


class DeliveryError(Exception):
    """A receiver did not accept a signal; the message names no address.

    `is_final` means that it would not accept it later either.
    """

    def __init__(self, message: str, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class Receiver:
    """The signals that wait for one receiver, in order, and the time of the next attempt."""

    def __init__(self, name: str, send: Callable[[Document], None], patience: Retry) -> None:
        self.name, self.send = name, send
        self.waiting: deque[Document] = deque()
        self.due_s = 0.0
        # Lost since the last report.
        self.lost, self.told_s = 0, -TELL_EVERY_S
        self.is_failing = False
        self._patience = self._retry = patience

    def put(self, document: Document) -> None:
        if len(self.waiting) >= QUEUE:
            self.waiting.popleft()
            self.lost += 1
        self.waiting.append(document)

    def postpone(self) -> bool:
        """Lengthen the wait; False if the receiver has failed too often."""
        try:
            self._retry = self._retry.increment(method="POST", url="")
        except MaxRetryError:
            self.due_s = time.monotonic() + float(self._retry.backoff_max)
            return False
        self.due_s = time.monotonic() + self._retry.get_backoff_time()
        return True

    def rest(self) -> None:
        """Reset the wait for the next signal."""
        self._retry, self.due_s = self._patience, 0.0


class Delivery:
    """A sink that queues signals for delivery; `is_well` says whether a ping may be sent."""

    def __init__(
        self,
        settings: DeliverySettings,
        environment: Mapping[str, str],
        on_status: OnStatus,
        is_well: Callable[[], bool],
        unmuted: Callable[[pa.RecordBatch], pa.RecordBatch] = lambda rows: rows,
    ) -> None:
        """Begin with an empty queue; `unmuted` removes muted signals."""
        self._settings = settings
        self._on_status, self._is_well, self._unmuted = on_status, is_well, unmuted
        secrets = {hook.secret_env for hook in settings.webhooks}
        self._environment = {k: v for k, v in environment.items() if k not in secrets}
        patience = Retry(
            settings.retries,
            backoff_factor=settings.backoff_s,
            backoff_max=settings.backoff_max_s,
        )
        self._session = requests.Session()
        # Never use ~/.netrc.
        self._session.trust_env = False
        self._receivers = [
            Receiver(*_webhook(self._session, hook, environment, settings.timeout_s), patience)
            for hook in settings.webhooks
        ]
        if settings.command:
            self._receivers.append(Receiver("command", self._run_command, patience))
        if settings.log:
            self._receivers.append(Receiver("log", _write_line, patience))
        self._lock = threading.Condition()
        self._closing = threading.Event()
        # Deadline of requests still under way.
        self._until_s = float("inf")
        self._flowed_s = self._pinged_s = time.monotonic()
        self._is_ping_failing = False
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def __call__(self, batch: Batch) -> None:
        """Queue the signals of a batch; never wait for a receiver."""
        self._flowed_s = time.monotonic()
        if "signal" not in batch or not self._receivers:
            return
        rows = batch["signal"]
        wanted = pc.is_in(rows["hook"], pa.array(self._settings.hooks, pa.string()))
        documents = signal_text.documents(self._unmuted(rows.filter(wanted)))
        if not documents:
            return
        with self._lock:
            for receiver in self._receivers:
                for document in documents:
                    receiver.put(document)
            self._lock.notify()

    def close(self) -> None:
        """End the thread; waiting signals are tried once more, within a second."""
        with self._lock:
            self._until_s = time.monotonic() + CLOSE_S
            self._closing.set()
            self._lock.notify()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        with self._session:
            self._work()

    def _work(self) -> None:
        while not self._closing.is_set():
            with self._lock:
                self._lock.wait(self._idle_s())
            self._ping()
            for receiver in self._receivers:
                self._serve(receiver)
        for receiver in self._receivers:
            if not receiver.is_failing:
                receiver.due_s = 0.0
                while receiver.waiting and time.monotonic() < self._until_s and not receiver.due_s:
                    self._serve(receiver)

    def _idle_s(self) -> float:
        """Return the time until something is due, at most until the next ping."""
        now_s = time.monotonic()
        dues = [receiver.due_s for receiver in self._receivers if receiver.waiting]
        if self._closing.is_set():
            return 0.0
        if self._settings.ping_url:
            dues.append(self._pinged_s + self._settings.ping_every_s)
        return max(0.0, min([due_s - now_s for due_s in dues], default=3600.0))

    def _serve(self, receiver: Receiver) -> None:
        """Send the oldest waiting signal of a receiver, if it is due."""
        with self._lock:
            if not receiver.waiting or time.monotonic() < receiver.due_s:
                return
            document = receiver.waiting[0]
        try:
            receiver.send(document)
        except DeliveryError as error:
            self._fail(receiver, document, error)
            return
        with self._lock:
            self._remove(receiver, document)
        receiver.rest()
        if receiver.is_failing:
            receiver.is_failing = False
            self._tell("delivery_recovered", receiver, "signals go out again")
        elif receiver.lost and time.monotonic() - receiver.told_s >= TELL_EVERY_S:
            self._tell("delivery_failed", receiver, f"expected at most {QUEUE} to wait, found more")

    def _fail(self, receiver: Receiver, document: Document, error: DeliveryError) -> None:
        """Schedule another attempt, unless useless; report a receiver that failed too often."""
        if error.is_final:
            with self._lock:
                self._remove(receiver, document)
                receiver.lost += 1
        elif receiver.postpone():
            return
        rested = time.monotonic() - receiver.told_s >= TELL_EVERY_S
        if not receiver.is_failing or (receiver.lost and rested):
            receiver.is_failing = True
            self._tell("delivery_failed", receiver, f"{error}")

    def _remove(self, receiver: Receiver, document: Document) -> None:
        # It may have been dropped meanwhile.
        if receiver.waiting and receiver.waiting[0] is document:
            receiver.waiting.popleft()

    def _tell(self, kind: str, receiver: Receiver, why: str) -> None:
        """Record a status row with the number of signals lost since the last one."""
        receiver.told_s = time.monotonic()
        with self._lock:
            lost, receiver.lost = receiver.lost, 0
        self._on_status(kind, f"{receiver.name}: {why}", lost)

    def _ping(self) -> None:
        url, now_s = self._settings.ping_url, time.monotonic()
        if url is None or now_s - self._pinged_s < self._settings.ping_every_s:
            return
        self._pinged_s = now_s
        if now_s - self._flowed_s > FLOW_S or not self._is_well():
            return
        was = self._is_ping_failing
        try:
            self._ask("GET", url.get_secret_value())
            self._is_ping_failing = False
        except DeliveryError as error:
            self._is_ping_failing = True
            if not was:
                self._on_status("delivery_failed", f"ping: {error}", None)
        if was and not self._is_ping_failing:
            self._on_status("delivery_recovered", "ping: it is answered again", None)

    def _ask(self, method: str, url: str) -> None:
        _request(self._session, method, url, self._settings.timeout_s)

    def _run_command(self, document: Document) -> None:
        """Run the command with the signal as JSON on its standard input, within a time limit."""
        end_s = time.monotonic() + self._settings.command_limit_s
        try:
            child = subprocess.Popen(
                self._settings.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            why = f"expected a command that runs, found {error.strerror}"
            raise DeliveryError(why, is_final=True) from None
        assert child.stdin is not None
        with child:
            with contextlib.suppress(BrokenPipeError):
                # Less than a pipe holds: this does not wait for the child to read it.
                child.stdin.write(json.dumps(document).encode() + b"\n")
                child.stdin.close()
            while child.poll() is None:
                if time.monotonic() >= min(end_s, self._until_s):
                    os.killpg(child.pid, signal.SIGKILL)
                    break
                time.sleep(LOOK_S)
            code = child.wait()
        if code:
            limit_s = self._settings.command_limit_s
            why = f"expected exit code 0 within {limit_s:g} s, found {code}"
            raise DeliveryError(why, is_final=True)


def _webhook(
    session: requests.Session,
    settings: WebhookSettings,
    environment: Mapping[str, str],
    timeout_s: float,
) -> tuple[str, Callable[[Document], None]]:
    """Return a receiver's name, without secrets, and the function that sends to it."""
    url, headers = settings.url.get_secret_value(), {}
    if settings.secret_env:
        secret = environment.get(settings.secret_env, "")
        if not secret or not secret.isprintable() or not secret.isascii():
            raise ValueError(
                f"expected a header's value in the environment as {settings.secret_env}, found none"
            )
        headers[settings.secret_header] = secret
    parts = urlsplit(url)
    name = f"webhook {parts.hostname}" + (f":{parts.port}" if parts.port else "")
    return name, lambda document: _request(session, "POST", url, timeout_s, headers, document)


def _request(
    session: requests.Session,
    method: str,
    url: str,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    document: Document | None = None,
) -> None:
    """Send one request, without following redirects; DeliveryError describes a failure."""
    try:
        # Its body is not read: it may never end.
        with session.request(
            method,
            url,
            json=document,
            headers={"User-Agent": "monitor", "Connection": "close", **(headers or {})},
            timeout=timeout_s,
            allow_redirects=False,
            stream=True,
        ) as response:
            status = response.status_code
    except (requests.RequestException, OSError) as error:
        # The error's text would name the address, which may be a secret.
        raise DeliveryError(f"expected an answer, found {type(error).__name__}") from None
    if not 200 <= status < 300:
        is_final = 400 <= status < 500 and status not in LATER
        raise DeliveryError(f"expected HTTP 2xx, found {status}", is_final)


def _write_line(document: Document) -> None:
    try:
        print(f"monitor: {signal_text.line(document)}", file=sys.stderr, flush=True)
    except OSError as error:
        # The terminal has gone.
        why = f"expected standard error open, found {error.strerror}"
        raise DeliveryError(why, is_final=True) from None
