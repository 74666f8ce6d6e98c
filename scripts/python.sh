#!/usr/bin/env bash
# Prints the path of a Python 3.11 or newer that can make virtual environments.
set -euo pipefail

probe='import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys.executable)'
for name in "${PYTHON:-python3.11}" python3.11 python3; do
    if path=$("$name" -c "$probe" 2>/dev/null); then
        if ! "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            "$(dirname "$0")/system-packages.sh" python3-venv >&2 || exit 1
        fi
        echo "$path"
        exit 0
    fi
done
echo "error: Python 3.11 or newer was not found (tried python3.11 and python3)." >&2
echo "Install it, or name it: make PYTHON=/path/to/python3.11 …" >&2
exit 1
