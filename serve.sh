#!/usr/bin/env bash
# Finish the set-up of a fresh machine, then serve the page; `./serve.sh test` runs every check instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stamp=.venv/.set-up

die() { echo "serve.sh: $1" >&2; exit 1; }

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    die "expected Python 3.11 or newer, found $(python3 --version 2>/dev/null || echo none)"
}

# What the installed state depends on, and which groups of packages are in it.
state() {
    { cat pyproject.toml rust_feed/Cargo.toml rust_feed/Cargo.lock; find rust_feed/src -name '*.rs' -print0 | sort -z | xargs -0 cat; echo "$1"; } | sha256sum | cut -d' ' -f1
}

set_up() {
    local group=$1 python wanted
    wanted=$(state "$group")
    # What the checks need holds all that serving needs.
    if [ -x .venv/bin/monitor ] && [ -f "$stamp" ]; then
        case "$(cat "$stamp")" in "$wanted" | "$(state dev)") return ;; esac
    fi
    python=$(find_python)
    command -v cargo >/dev/null || die "expected cargo (a Rust toolchain, see https://rustup.rs), found none"
    command -v cc >/dev/null || die "expected a C compiler (cc, e.g. apt-get install gcc), found none"
    echo "serve.sh: setting up .venv (the first time takes some minutes)" >&2
    [ -x .venv/bin/python ] || "$python" -m venv .venv || die "expected python3-venv, found that a .venv cannot be made"
    local pip=(.venv/bin/python -m pip --disable-pip-version-check install --quiet)
    "${pip[@]}" --upgrade 'pip>=25.1' || die "expected to install pip 25.1 or newer, found the error above"
    "${pip[@]}" --editable . || die "expected to build and install monitor, found the error above"
    if [ "$group" = dev ]; then
        "${pip[@]}" --group dev || die "expected to install the tools for the checks, found the error above"
    fi
    echo "$wanted" >"$stamp"
}

find_browser() {
    local name
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" && return
    done
    return 1
}

find_nginx() { PATH="$PATH:/usr/sbin" command -v nginx; }

# Find a program that the checks need, or install its package.
needed() {
    local name=$1 package=$2 find=$3
    "$find" >/dev/null || { apt-get update -qq && apt-get install -y -qq "$package"; } >/dev/null 2>&1 \
        && "$find" >/dev/null || die "expected $name (apt-get install $package), found none"
}

check() { echo "== $1" >&2; shift; "$@" || die "failed: $*"; }

run_checks() {
    needed "Chromium" chromium find_browser
    needed "nginx" nginx find_nginx
    local manifest=rust_feed/Cargo.toml
    check "cargo fmt" cargo fmt --manifest-path $manifest --check
    check "cargo clippy" cargo clippy --quiet --manifest-path $manifest --all-targets -- -D warnings
    check "cargo clippy, python" cargo clippy --quiet --manifest-path $manifest --all-targets --features python -- -D warnings
    check "cargo test" cargo test --quiet --manifest-path $manifest
    check "build" set_up dev
    check "ruff" .venv/bin/ruff check .
    check "ruff format" .venv/bin/ruff format --check .
    check "mypy" .venv/bin/mypy --strict monitor
    check "stubtest" .venv/bin/python -m mypy.stubtest monitor._rust_feed
    # These look at books at rest while many programs run: beside others they find too few.
    local alone=(tests/feeds/test_faults.py tests/feeds/test_venue_notices.py)
    check "pytest" .venv/bin/python -m pytest --numprocesses 2 --dist loadfile "${alone[@]/#/--ignore=}"
    check "pytest, alone" .venv/bin/python -m pytest "${alone[@]}"
}

if [ "${1:-}" = test ]; then
    run_checks
else
    set_up serve
    exec .venv/bin/monitor serve "$@"
fi
