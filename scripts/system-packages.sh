#!/usr/bin/env bash
# Installs Debian packages that are missing: as root on Debian, or with CI=1 (or CI=true). Elsewhere it prints the command
# to run and fails, and what needs the packages is skipped.
#
#   scripts/system-packages.sh PACKAGE…
set -euo pipefail

missing=()
for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
    sudo=
elif [ "${CI:-}" = 1 ] || [ "${CI:-}" = true ]; then
    sudo=sudo
else
    echo "missing system packages: run  sudo $command" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq </dev/null >&2
$sudo $command -qq </dev/null >&2
