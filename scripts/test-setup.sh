#!/usr/bin/env bash
# What the tests need beside .venv, once: OpenEnv 0.10 in a virtual environment of its own, and MCP's tools from npm.
# Without npm the tests that need it are skipped and say so; with CI set that is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh reference
if ! scripts/node-tools.sh >/dev/null; then
    [ -z "${CI:-}" ] || exit 1
    echo "the tests that need Node will be skipped; scripts/node-tools.sh says what is missing" >&2
fi
