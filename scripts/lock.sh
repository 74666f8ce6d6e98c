#!/usr/bin/env bash
# Resolves requirements/*.txt anew from pyproject.toml and envs/*/pyproject.toml: versions and hashes for every
# platform, no index address. Give package names to upgrade them, or --upgrade to upgrade all.
set -euo pipefail
cd "$(dirname "$0")/.."

options=()
for argument in "$@"; do
    case $argument in
        -*) options+=("$argument") ;;
        *) options+=(--upgrade-package "$argument") ;;
    esac
done

compile() { # OUTPUT SOURCE…
    local output=$1
    shift
    ${UV:-uv} pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
        --custom-compile-command "make lock" ${options[@]+"${options[@]}"} -o "$output" "$@"
}

# Our own packages are installed from their folders; `openenv` must never be resolved to the index's project of that name.
environments=()
ours=(--no-emit-package openenv)
for project in envs/*/pyproject.toml; do
    [ -e "$project" ] || continue
    environments+=("$project")
    ours+=(--no-emit-package "$(sed -n 's/^name *= *"\(.*\)"/\1/p' "$project" | head -1)")
done
demo=()
[ ! -e envs/calendar_env/pyproject.toml ] || demo+=(envs/calendar_env/pyproject.toml)

compile requirements/dev.txt pyproject.toml ${environments[@]+"${environments[@]}"} "${ours[@]}" --group dev --group build
compile requirements/demo.txt pyproject.toml ${demo[@]+"${demo[@]}"} "${ours[@]}" --group build --constraint requirements/dev.txt
compile requirements/reference.txt requirements/reference.in
