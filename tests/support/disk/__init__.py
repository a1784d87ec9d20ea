"""A disk that fails: `disk.c` under child processes, and the states they could leave it in."""

from __future__ import annotations

import copy
import os
import random
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("disk.c")
TESTS = Path(__file__).parents[2]


class Change(NamedTuple):
    """One change of a file: create, write, truncate, sync, rename or unlink, by its letter."""

    operation: str
    path: str
    offset: int
    data: bytes


class Disk:
    """Runs Python programs of the tests on a folder whose file calls are followed."""

    def __init__(self, work: Path) -> None:
        self.folder = work / "recordings"
        self.folder.mkdir()
        self._library, self._fault = work / "disk.so", work / "fault"
        self._log = work / "changes"
        compiled = ["cc", "-O1", "-shared", "-fPIC", "-o", self._library, SOURCE, "-ldl"]
        subprocess.run(compiled, check=True)

    def start(
        self, program: Sequence[str], match: str = "", kill: int | None = None, log: bool = False
    ) -> subprocess.Popen[str]:
        """Start `python program…` with the folder as its last argument; `match` is what fails."""
        environment = {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "DISK_MATCH": str(self.folder / match),
            "DISK_FAULT": str(self._fault),
            "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent))),
        }
        if kill is not None:
            environment["DISK_KILL"] = str(kill)
        if log:
            environment["DISK_LOG"] = str(self._log)
        return subprocess.Popen(
            [sys.executable, *program, str(self.folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def break_down(self, fault: str) -> None:
        """Let calls fail from now on: `write 28`, `sync 5` (by errno), `slow 300` (ms a sync)."""
        self._fault.write_text(fault)

    def mend(self) -> None:
        self._fault.unlink()

    def changes(self) -> list[Change]:
        """Return the changes that were logged, in their order."""
        log, at, found = self._log.read_bytes(), 0, []
        while at < len(log):
            operation, length = struct.unpack_from("=cI", log, at)
            path = log[at + 5 : at + 5 + length].decode()
            at += 5 + length
            offset, size = struct.unpack_from("=QI", log, at)
            found.append(Change(operation.decode(), path, offset, log[at + 12 : at + 12 + size]))
            at += 12 + size
        return found


class _File:
    """What is synced of a file, and the changes since."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.loose: list[Change] = []

    def settle(self, count: int) -> None:
        for change in self.loose[:count]:
            if change.operation == "t":
                del self.content[change.offset :]
            else:
                missing = change.offset - len(self.content)
                self.content.extend(bytes(max(0, missing)))
                end = change.offset + len(change.data)
                self.content[change.offset : end] = change.data
        del self.loose[:count]


class Platter:
    """Files as they are on a disk: `names` is what stands in the folders for good."""

    def __init__(self) -> None:
        self.names: dict[str, _File] = {}
        self._seen: dict[str, _File] = {}
        # Changes of names that no sync of their folder followed yet: from, to, file.
        self._moves: list[tuple[str | None, str | None, _File]] = []

    def take(self, change: Change) -> None:
        path = change.path
        match change.operation:
            case "c" if path not in self._seen:
                self._seen[path] = _File()
                self._moves.append((None, path, self._seen[path]))
            case "w" | "t":
                self._seen[path].loose.append(change)
            case "r":
                file = self._seen.pop(path)
                self._seen[change.data.decode()] = file
                self._moves.append((path, change.data.decode(), file))
            case "u":
                self._moves.append((path, None, self._seen.pop(path)))
            case "s" if path in self._seen:
                file = self._seen[path]
                file.settle(len(file.loose))
                # A file system that keeps a journal does not sync a new file without its name, nor
                # that before the changes of names that came earlier.
                made = [at for at, m in enumerate(self._moves) if m[0] is None and m[2] is file]
                for move in self._moves[: made[-1] + 1] if made else []:
                    self._settle(move)
            case "s":
                for move in list(self._moves):
                    if str(Path(move[0] or move[1] or "").parent) == path:
                        self._settle(move)

    def cut(self, into: Path, draw: random.Random | None) -> None:
        """Write the files as a power cut leaves them: of what is not synced nothing, or what
        `draw` lets pass of it, in order."""
        survivor = copy.deepcopy(self) if draw else self
        if draw:
            for move in survivor._moves[: draw.randint(0, len(survivor._moves))]:
                survivor._settle(move)
            for file in survivor.names.values():
                file.settle(draw.randint(0, len(file.loose)))
        for path, file in survivor.names.items():
            target = into / Path(path).parent.name / Path(path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)

    def _settle(self, move: tuple[str | None, str | None, _File]) -> None:
        self._moves.remove(move)
        source, target, file = move
        if source is not None:
            self.names.pop(source, None)
        if target is not None:
            self.names[target] = file
