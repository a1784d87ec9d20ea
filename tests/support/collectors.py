"""A running collector from outside: its port, its health, its status rows."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import requests

from monitor import recordings
from monitor.processes import locks


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def health(address: str) -> dict[str, Any]:
    report: dict[str, Any] = requests.get(f"http://{address}/health", timeout=10).json()
    return report


def all_connected(held: locks.Held, count: int) -> bool:
    states = [source["state"] for source in health(held.address)["sources"]]
    return states == ["connected"] * count


def statuses(folder: Path, name: str) -> list[dict[str, Any]]:
    with recordings.open_recording(folder, name) as recording:
        return [row for batch in recording.batches() for row in batch["status"].to_pylist()]


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).status_code == 200
    except (requests.ConnectionError, requests.Timeout):
        return False
