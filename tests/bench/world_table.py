"""What goes wrong around the program, each situation recreated with real processes, as a table.

Each row runs the tests of a situation so many times: their expected values come from outside the
program. Run: .venv/bin/python tests/bench/world_table.py [--times N, 1] [--only WORD]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Situation(NamedTuple):
    """What happens, what is required then, and the tests that recreate it: a file and words."""

    name: str
    required: str
    file: str
    words: str = ""


SITUATIONS = (
    Situation(
        "wall clock set back 1 h, forward 1 h, forward 24 h under a collector",
        "three clock_jump rows, one connection, no alarm, at most 15 clock rows a second",
        "feeds/test_stepped_clock.py",
    ),
    Situation(
        "wall clock slewed, stepped at random (scripted clocks)",
        "receive times never run back; each step reported once",
        "feeds/test_receive_clock.py",
    ),
    Situation(
        "a collector starts beside replay --record",
        "the second recording is sealed with all its rows",
        "recordings/test_parallel_recorders.py",
        "leaves_what_others",
    ),
    Situation(
        "recording folder deleted or moved while recording",
        "reported, rows counted, a new segment, exit 1",
        "recordings/test_parallel_recorders.py",
        "taken_away",
    ),
    Situation(
        "1,000 and more segments",
        "read by number",
        "recordings/test_parallel_recorders.py",
        "by_their_numbers",
    ),
    Situation(
        "copies of the open segment that nobody takes",
        "removed",
        "recordings/test_parallel_recorders.py",
        "copy_that_nobody",
    ),
    Situation(
        "left-over folder, link, clock years ahead during upkeep",
        "upkeep goes on; nothing outside the folder or for a wrong clock is removed",
        "recordings/test_upkeep.py",
        "left_by_a_compaction or link or jumps_by_years",
    ),
    Situation(
        "disk full, sync error, power cut, kill",
        "committed rows are kept; the rest is counted",
        "recordings/test_durability.py",
    ),
    Situation(
        "rows lost by the recorder, the row that tells of it with them",
        "gaps, verify and recordings tell of the loss, with count and times",
        "recordings/test_durability.py",
        "goes_on_without",
    ),
    Situation(
        "memory or descriptors are short while segments are recovered; one is in use",
        "nothing is set aside; it is recovered later, the counts are true",
        "recordings/test_short_of_memory.py",
        "recovered",
    ),
    Situation(
        "a directory with a name that is not UTF-8 among the recordings",
        "left out with one line",
        "recordings/test_path_names.py",
        "utf_8",
    ),
    Situation(
        "a relative recordings folder with a colon (data:2, md:x)",
        "a folder as any other; no extension is fetched",
        "recordings/test_path_names.py",
        "colon or extension",
    ),
    Situation(
        "the upkeep's process cannot be started",
        "one line; tried again a minute later",
        "recordings/test_upkeep.py",
        "cannot_be_started",
    ),
    Situation(
        "one of two pages of a folder ends",
        "the collector stays until the last",
        "collector/test_keeper.py",
        "last_page or came_later",
    ),
    Situation(
        "collector killed under serve",
        "restarted with back-off and reported",
        "collector/test_keeper.py",
        "started_again",
    ),
    Situation(
        "recordings folder or its lock deleted or moved under serve and its collector",
        "the lock is made again or its loss told; no second collector; serve ends its own",
        "processes/test_folder_lock.py",
    ),
    Situation(
        "terminal closed, nohup",
        "all ends; all stays",
        "collector/test_keeper.py",
        "terminal or nohup",
    ),
    Situation(
        "two serve on one port",
        "one serves, one line, exit 1",
        "collector/test_keeper.py",
        "want_one_port",
    ),
    Situation("collector frozen at the end", "the page ends", "collector/test_keeper.py", "hangs"),
    Situation(
        "collector frozen, killed; page frozen",
        "true ages, advice that fits",
        "page/test_page_now.py",
    ),
    Situation(
        "HTTP_PROXY and .netrc set; a duckdb.py in the current folder",
        "neither sees a request; the file is not run",
        "processes/test_local_client.py",
    ),
    Situation(
        "no network at the start; instrument lists that are empty, HTML or 503 (seven venues)",
        "the pattern says why, and is followed by itself once the list is there",
        "feeds/test_instrument_list.py",
    ),
    Situation(
        "HTTP and SOCKS proxies, with a login or a wrong one; NO_PROXY; addresses that are none",
        "stream and REST go through them; no password is shown; one line, exit 2",
        "feeds/test_proxies.py",
    ),
    Situation(
        "IPv6, HEAD, Host without port, below a proxy's path",
        "the page works",
        "access/test_reachability.py",
        "ipv6 or head or without_the_port or below",
    ),
    Situation(
        "a real nginx: below a path, with users and without, another port than 80, an idle line",
        "all addresses stay below the path; the line is pinged before it is cut",
        "access/test_nginx.py",
    ),
    Situation(
        "panel serve at an IPv6 address",
        "the page works, foreign hosts are refused",
        "page/test_plain_serve.py",
        "ipv6",
    ),
    Situation(
        "forged X-Real-Ip, guessed names, cross-site requests, foreign Host",
        "refused, counted or bounded",
        "access/test_reachability.py",
        "behind_a_proxy or name_that or sites or connects or own_names",
    ),
    Situation(
        "stop, start, add, remove, change of mode, at random, over seven venues",
        "each trade of the exchange counts once; verify finds nothing",
        "feeds/test_source_changes.py",
    ),
    Situation(
        "a damaged segment, or one left open by a kill, under export, clip, replay, sql",
        "the rest is done; a line names what is left out; exit 1 (sql: 0)",
        "recordings/test_damaged_segments.py",
    ),
    Situation(
        "a source added that shares instruments with one of another mode",
        "the answer says what is left out of which",
        "feeds/test_overlapping_sources.py",
    ),
    Situation(
        "a full disk under a reader of the collector's stream",
        "the reader's error ends it, and is no lost line",
        "collector/test_follower.py",
    ),
    Situation(
        "full output, Ctrl-C, missing folder, wrong usage",
        "one line and the exit code of the contract",
        "cli/test_command_line.py",
    ),
    Situation(
        "told to end while a command starts; as PID 1; a collector killed there",
        "exit code of the contract, no traceback, no orphan, no zombie",
        "processes/test_end_signals.py",
    ),
    Situation(
        "no free inodes while recording",
        "reported, rows counted, recording again, exit 1",
        "recordings/test_file_systems.py",
        "inodes",
    ),
    Situation(
        "disk becomes read-only while recording",
        "reported, rows counted, the collector still found, exit 1",
        "recordings/test_file_systems.py",
        "read_only",
    ),
    Situation(
        "file system without locks",
        "one line; what is sealed is read",
        "recordings/test_file_systems.py",
        "flock",
    ),
    Situation(
        "odd characters in the path of the recordings, a question mark",
        "all works; one line from what writes",
        "recordings/test_file_systems.py",
        "any_name or cannot_write",
    ),
    Situation(
        "more recordings and segments than files may be open",
        "read in order; SQL names the limit",
        "recordings/test_many_files.py",
    ),
    Situation(
        "unprivileged user, read-only system, no HOME, no TZ",
        "the documented service runs and seals",
        "docs/test_service.py",
    ),
    Situation(
        "standard output and error full, unread or closed; a terminal that is not read",
        "recording, page and end go on; what is dropped is counted and told",
        "processes/test_standard_streams.py",
    ),
    Situation(
        "idle connections to both ports, more than descriptors; none left to accept with",
        "closed and bounded; segments go on; one line of log and a pause",
        "collector/test_idle_connections.py",
    ),
    Situation(
        "the page's certificate is renewed on disk, and half renewed",
        "new handshakes get the new one; half of one is told and not used",
        "access/test_certificate_renewal.py",
    ),
    Situation("tail with patterns and channels", "the rows of SOURCE", "cli/test_tail.py"),
    Situation(
        "no answer to any request for the instrument list",
        "every source is listed as initialising from the start; health is not ok",
        "feeds/test_unanswered_requests.py",
        "before_its_venue or own_spelling",
    ),
    Situation(
        "a stream that only answers pings",
        "REST takes over after fallback_after_s",
        "feeds/test_unanswered_requests.py",
        "only_answers_pings",
    ),
    Situation(
        "a captive portal: a login page in place of every answer",
        "failed, with the page named",
        "feeds/test_unanswered_requests.py",
        "login_page",
    ),
    Situation(
        "no thread can be started, at the start and at a reconnect",
        "reported, and retried until it can",
        "feeds/test_unanswered_requests.py",
        "threads or thread_is",
    ),
    Situation(
        "requests of every venue hang while the feeds are closed",
        "closed within 5 s together",
        "feeds/test_unanswered_requests.py",
        "left_together",
    ),
    Situation(
        "REST answers that come a byte at a time, are cut short or cannot be unpacked",
        "each fails within its time; the next request is answered",
        "feeds/test_slow_answers.py",
    ),
    Situation(
        "a collector restarted, whose venue repeats its last trades",
        "each trade counts once in bars over all recordings",
        "sql/test_ready_made_views.py",
        "repeats_after_a_restart or begin_again",
    ),
)


def main() -> int:
    """Print the table; 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="how often each is tried")
    parser.add_argument("--only", default="", help="a part of the situation's text")
    chosen = parser.parse_args()
    headings = ("situation", "tries", "observed", "required")
    print(_row(headings), _row(["---"] * len(headings)), sep="\n", flush=True)
    failed = 0
    for situation in SITUATIONS:
        if chosen.only not in situation.name:
            continue
        outcomes = [_try(situation) for _ in range(chosen.times)]
        well = outcomes.count("")
        observed = f"as required {well} of {chosen.times} times"
        for outcome in sorted(set(outcomes) - {""}):
            observed += f"; {outcome}"
        failed += well < chosen.times
        row = (situation.name, str(chosen.times), observed, situation.required)
        print(_row(row), flush=True)
    return int(failed > 0)


def _try(situation: Situation) -> str:
    """Return what was not as it must be; nothing if all was."""
    command = [sys.executable, "-m", "pytest", "-q", f"tests/{situation.file}"]
    command += ["-k", situation.words] if situation.words else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode == 0:
        return ""
    return "; ".join(lines) or f"pytest exits with {done.returncode}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
