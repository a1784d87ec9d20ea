"""Which processes run, and which belong to which."""

from __future__ import annotations

from pathlib import Path

from support import collectors


def answers(port: int) -> bool:
    return collectors.answers(f"http://127.0.0.1:{port}/health")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Tell whether a process is there and no zombie, which only waits to be asked for its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
