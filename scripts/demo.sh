#!/usr/bin/env bash
# Serves the Calendar Gym, runs three agents on its scenarios, prints the scored report, and checks that it says what it
# should: the oracle solves everything, the no-op nothing, and the guesser only what is spelled out.
#
#   scripts/demo.sh [FOLDER]      where the results go; runs/demo unless given
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-runs/demo}
rm -rf "$folder"
.venv/bin/openenv eval calendar --agent oracle --agent noop --agent first-match --out "$folder" </dev/null
.venv/bin/python scripts/check_demo.py "$folder/summary.json"
