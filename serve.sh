#!/usr/bin/env bash
# Set up a fresh machine, then serve the page.
#
#   ./serve.sh [OPTION …]      serve the page; the options are those of `monitor serve`
#   ./serve.sh test            run every check
#   ./serve.sh test --newest [ARGUMENT …]
#                              run the tests with the newest packages that pyproject.toml allows
#   ./serve.sh lock            pin the newest packages that pyproject.toml allows in .lock/
#   ./serve.sh wheel           build a wheel for any Linux that has glibc 2.17 or newer
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stamp=.venv/.set-up
# Exact versions and hashes of all packages, for Python 3.11 to 3.13 on x86_64 and aarch64.
lock=.lock

die() { echo "serve.sh: $1" >&2; exit 1; }

# Print the first of some interpreters that is new enough.
find_python() {
    local name
    for name in "$@"; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    die "expected Python 3.11 or newer, found $(python3 --version 2>/dev/null || echo none)"
}

has_cargo() { command -v cargo >/dev/null; }

# Install packages into a virtual environment.
pip_in() {
    local venv=$1
    shift
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet "$@"
}

# Install the packages of some locks into a virtual environment, exactly as they are pinned.
install_locked() {
    local venv=$1 name files=()
    shift
    for name in "$@"; do files+=(--requirement "$lock/$name.txt"); done
    pip_in "$venv" --require-hashes --only-binary :all: "${files[@]}" \
        || die "expected to install the packages of $lock, found the error above"
}

# Make a virtual environment with the pinned pip, unless it is there.
make_venv() {
    local venv=$1 python
    shift
    if [ ! -x "$venv/bin/python" ]; then
        python=$(find_python "$@")
        "$python" -m venv "$venv" || die "expected python3-venv, found that $venv cannot be made"
    fi
    install_locked "$venv" pip
}

# Build the Rust core, with pip arguments that say what is made of it.
build() {
    local log=$1 error
    shift
    command -v cc >/dev/null || die "expected a C compiler (cc, e.g. apt-get install gcc), found none"
    if ! has_cargo; then
        echo "serve.sh: found no cargo: the build fetches a Rust toolchain and keeps it in the user's cache" >&2
    fi
    "$@" >"$log" 2>&1 && return
    if ! has_cargo && grep -q 'in setup_rust$' "$log"; then
        error=$(grep -E '^ *[A-Za-z_.]+(Error|Exception): ' "$log" | tail -1 | sed 's/^ *//')
        die "expected to fetch a Rust toolchain, found ${error:-no reason}: install cargo (see https://rustup.rs)"
    fi
    cat "$log" >&2
    die "expected to build monitor, found the error above"
}

# Print what the installed state depends on, and which groups of packages are in it, as one hash.
state() {
    { cat pyproject.toml $lock/*.txt rust_feed/Cargo.toml rust_feed/Cargo.lock; find rust_feed/src -name '*.rs' -print0 | sort -z | xargs -0 cat; echo "$1"; } | sha256sum | cut -d' ' -f1
}

set_up() {
    local group=$1 wanted
    wanted=$(state "$group")
    # The packages for the checks include those for serving.
    if [ -x .venv/bin/monitor ] && [ -f "$stamp" ]; then
        case "$(cat "$stamp")" in "$wanted" | "$(state dev)") return ;; esac
    fi
    echo "serve.sh: setting up .venv (the first time takes some minutes)" >&2
    make_venv .venv python3 python3.13 python3.12 python3.11
    # Build first: it fails early where a tool is missing.
    build .venv/build.log pip_in .venv --no-deps --build-constraint $lock/build.txt --editable .
    if [ "$group" = dev ]; then install_locked .venv serve dev; else install_locked .venv serve; fi
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
    has_cargo || die "expected cargo for the checks (a Rust toolchain, see https://rustup.rs), found none"
    needed "Chromium" chromium find_browser
    needed "nginx" nginx find_nginx
    local manifest=rust_feed/Cargo.toml
    check "cargo fmt" cargo fmt --manifest-path $manifest --check
    check "cargo clippy" cargo clippy --quiet --manifest-path $manifest --all-targets -- -D warnings
    check "cargo clippy, python" cargo clippy --quiet --manifest-path $manifest --all-targets --features python -- -D warnings
    check "cargo test" cargo test --quiet --manifest-path $manifest
    check "build" set_up dev
    # Compiled now, so that no test runs beside a compiler.
    check "wheel" run_wheel
    check "ruff" .venv/bin/ruff check .
    check "ruff format" .venv/bin/ruff format --check .
    check "mypy" .venv/bin/mypy --strict monitor
    check "stubtest" .venv/bin/python -m mypy.stubtest monitor._rust_feed
    # These look at books at rest while many programs run: beside others they find too few.
    local alone=(tests/feeds/test_faults.py tests/feeds/test_venue_notices.py)
    check "pytest" .venv/bin/python -m pytest --numprocesses 2 --dist loadfile "${alone[@]/#/--ignore=}"
    check "pytest, alone" .venv/bin/python -m pytest "${alone[@]}"
}

# Run the tests with the newest Python and packages; pytest takes the arguments.
run_newest() {
    make_venv .venv-newest python3.13 python3.12 python3.11 python3
    build .venv-newest/build.log pip_in .venv-newest --upgrade --upgrade-strategy eager \
        --build-constraint $lock/build.txt --editable . --group dev
    exec .venv-newest/bin/python -m pytest "$@"
}

# Pin the newest packages. The same versions are taken for every Python, so that a page is made of
# the same BokehJS everywhere; all groups agree.
run_lock() {
    local venv=.venv-lock all name of_serve
    all=$(mktemp)
    make_venv $venv python3 python3.13 python3.12 python3.11
    pip_in $venv --upgrade --group lock
    pin() {
        $venv/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
            --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
            --custom-compile-command "./serve.sh lock" "$@" >/dev/null
    }
    pin pyproject.toml --group dev --group build --output-file "$all"
    mkdir -p $lock
    for name in pip build; do
        pin --group $name --constraint "$all" --output-file $lock/$name.txt
    done
    pin pyproject.toml --constraint "$all" --output-file $lock/serve.txt
    # What the checks need beside that.
    mapfile -t of_serve < <(sed -n 's/^\([a-z0-9.-]*\)==.*/--no-emit-package=\1/p' $lock/serve.txt)
    pin pyproject.toml --group dev --constraint "$all" "${of_serve[@]}" --output-file $lock/dev.txt
    rm "$all"
}

# Build a wheel and print its path. Zig links against an old glibc; any Python from 3.11 on loads it.
run_wheel() {
    local venv=$PWD/.venv-build made
    make_venv "$venv" python3 python3.13 python3.12 python3.11
    install_locked "$venv" pip build
    made=$(mktemp -d)
    # pip looks for the build's programs on the path.
    build "$venv/build.log" env PATH="$venv/bin:$PATH" "$venv/bin/python" -m pip wheel --quiet --no-deps \
        --no-build-isolation --wheel-dir "$made" \
        --config-settings "build-args=--zig --compatibility manylinux2014" .
    mkdir -p rust_feed/target/wheels
    mv "$made"/*.whl rust_feed/target/wheels/
    echo rust_feed/target/wheels/monitor-*-abi3-manylinux*.whl
}

case "${1:-}" in
test)
    shift
    if [ "${1:-}" = --newest ]; then shift; run_newest "$@"; else run_checks; fi
    ;;
lock) run_lock ;;
wheel) run_wheel ;;
*)
    set_up serve
    exec .venv/bin/monitor serve "$@"
    ;;
esac
