#!/usr/bin/env bash
# All static checks; every one is run, and the exit code tells whether one of them failed.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()
check() { # NAME COMMAND…
    local name=$1
    shift
    echo "== $name"
    PATH="$PWD/.venv/bin:$PATH" "$@" </dev/null || failed+=("$name")
}

within() { # FOLDER COMMAND…
    local folder=$1
    shift
    (cd "$folder" && "$@")
}

folders=()
for folder in src tests envs benchmarks examples scripts; do
    [ -d "$folder" ] && [ -n "$(git ls-files -- "$folder/*.py" "$folder/**/*.py")" ] && folders+=("$folder")
done

check ruff ruff check "${folders[@]}" conftest.py
check "ruff format" ruff format --check "${folders[@]}" conftest.py
check mypy mypy $(printf '%s\n' "${folders[@]}" | grep -vx envs) conftest.py
# One run for each environment: their test modules have the same names.
for project in envs/*/pyproject.toml; do
    [ -e "$project" ] || continue
    environment=$(dirname "$project")
    check "mypy $environment" within "$environment" env MYPYPATH="$PWD:$PWD/src" \
        "$PWD/.venv/bin/mypy" --config-file "$PWD/pyproject.toml" --cache-dir "$PWD/.mypy_cache/$(basename "$environment")" .
done
check pyright pyright --warnings
check imports lint-imports

if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
echo "all checks passed"
