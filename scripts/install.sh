#!/usr/bin/env bash
# Sets ambientd up in .venv: system packages, a virtual environment with pinned versions, compiled kernels.
#   install.sh run   what `ambientd run` needs
#   install.sh dev   on top of that, what the tests need
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'install: %s\n' "$*" >&2; }

apt_missing() {
    local name
    for name in "$@"; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"
    done
}

apt_install() {
    local missing as_root=()
    mapfile -t missing < <(apt_missing "$@")
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            say "system packages are missing, and there is neither root nor password-less sudo to install them."
            say "run this once, then make again:  sudo apt-get install ${missing[*]}"
            return
        fi
        as_root=(sudo -n)
    fi
    say "apt-get install ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=500 -q)
    "${as_root[@]}" "${apt[@]}" update || say "apt-get update failed; trying with the package lists at hand"
    "${as_root[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}" ||
        say "apt-get install failed; going on without: ${missing[*]}"
}

brew_install() {
    local name
    for name in "$@"; do
        brew list --versions "$name" >/dev/null 2>&1 || brew install "$name" || say "brew install $name failed; going on"
    done
}

# $1: Debian names, $2: Homebrew names
system_packages() {
    # shellcheck disable=SC2086  # the lists are words
    if command -v apt-get >/dev/null; then
        apt_install $1
    elif command -v brew >/dev/null; then
        brew_install $2
    else
        say "neither apt-get nor Homebrew here: please see to these yourself (Debian's names): $1"
    fi
}

find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3; do
        # Asked to do the work rather than looked up: a shim can be on the path without its Python, and
        # Debian's python3 can be without ensurepip.
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

make_environment() {
    .venv/bin/python -m pip --version >/dev/null 2>&1 && return
    local python
    python=$(find_python)
    if [ -z "$python" ]; then
        say "no Python 3.11 or newer with venv was found. Install one (Debian: python3-venv; macOS: brew install python)."
        exit 1
    fi
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

case "${1:-run}" in
run)
    system_packages "libportaudio2 libasound2-plugins python3-venv" "portaudio python@3.13"
    make_environment
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
    if [ -f ambientd/engine/warm.py ]; then
        say "compiling the kernels for this processor"
        .venv/bin/python -m ambientd.engine.warm
    fi
    ;;
dev)
    system_packages "pulseaudio pulseaudio-utils liblo-tools jackd2 supercollider-language g++" "liblo jack"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
    ;;
*)
    say "unknown step '$1': run or dev"
    exit 2
    ;;
esac
