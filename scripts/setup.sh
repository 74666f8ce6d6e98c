#!/usr/bin/env bash
# Makes a virtual environment and installs what a lock file pins, then this repository's packages in place.
# Does nothing when it was already done for the same lock and the same packages.
#
#   scripts/setup.sh demo        .venv with what `make demo` runs
#   scripts/setup.sh dev         .venv with everything
#   scripts/setup.sh reference   benchmarks/.venv-reference with openenv 0.10.0 from the package index
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:?"say what to set up: demo, dev or reference"}
lock=requirements/$what.txt
case $what in
    demo | dev) venv=.venv ;;
    reference) venv=benchmarks/.venv-reference ;;
    *) echo "error: unknown set-up '$what': demo, dev or reference" >&2; exit 1 ;;
esac

packages=(.)
for project in envs/*/pyproject.toml; do
    [ -e "$project" ] && packages+=("$(dirname "$project")")
done

digest() { # of everything that decides what set-up $1 installs
    { cat "requirements/$1.txt"; for package in "${packages[@]}"; do echo "$package"; cat "$package/pyproject.toml"; done; pwd; } | cksum
}

stamp=$venv/.setup-$what
done_for() { [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.setup-$1" 2>/dev/null)" = "$(digest "$1")" ]; }
if done_for "$what" || { [ "$what" = demo ] && done_for dev; }; then
    exit 0
fi

python=$(scripts/python.sh)
echo "setting up $venv ($what) with $python" >&2
"$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --quiet)

"${pip[@]}" --require-hashes -r "$lock"
if [ "$what" != reference ]; then
    editable=()
    for package in "${packages[@]}"; do editable+=(-e "$package"); done
    "${pip[@]}" --no-deps --no-build-isolation "${editable[@]}"
fi
digest "$what" >"$stamp"
