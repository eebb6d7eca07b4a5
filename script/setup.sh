# Sourced by the other scripts: a virtual environment that fits a requirements file. Needs only python3 (3.11 or later).

# The project starts many processes, and each would compile it anew where bytecode is not to be kept.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*" >&2; }

# A python3 of 3.11 or later, by name or by path.
find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    say "Python 3.11 or later is needed. Install it, or name one: PYTHON=/path/to/python3 $0"
    return 1
}

# need FINDER PACKAGE WHAT VARIABLE: a program that pip can't bring. As root on Debian it is installed, else this says what is missing.
need() {
    .venv/bin/python -m "$1" && return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "No $2 for $3: installing Debian's …"
        apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >/dev/null
    else
        say "No $2 was found for $3, and this user can't install one: install $2, or name one in $4=/path."
        return 1
    fi
}

# setup FILE: makes .venv, or brings it up to date, when FILE changed since the last time.
setup() {
    wanted=$(cat requirements.txt "$1" | cksum)
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python)
        say "Making a virtual environment in .venv …"
        if ! "$python" -m venv .venv 2>/dev/null; then
            rm -rf .venv
            say "python3 can't make virtual environments here. On Debian or Ubuntu: apt-get install python3-venv"
            return 1
        fi
    fi
    stamp=".venv/.installed-$(basename "$1")"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        say "Installing $1 …"
        .venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --requirement "$1"
        printf '%s\n' "$wanted" >"$stamp"
    fi
}

