#!/usr/bin/env bash
# Installs Node 22 and the MCP tools that the tests judge us with from npm into .node-tools/, once; later calls do nothing.
# Prints the folder. Without npm: Debian's, as scripts/system-packages.sh says; where that fails, so does this.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=.node-tools
# folder, package, version
tools='
node node 22.23.3
conformance-latest @modelcontextprotocol/conformance 0.1.16
conformance-next @modelcontextprotocol/conformance 0.2.0-alpha.12
inspector @modelcontextprotocol/inspector 2.12.0
everything @modelcontextprotocol/server-everything 2026.8.31
'
stamp=$(echo "$tools" | cksum)
if [ "$(cat "$folder/.done" 2>/dev/null)" != "$stamp" ]; then
    command -v npm >/dev/null || scripts/system-packages.sh nodejs npm
    echo "installing Node and the MCP tools into $folder" >&2
    rm -rf "$folder"
    mkdir -p "$folder"
    installing=()
    while read -r name package version; do
        [ -n "$name" ] || continue
        npm install --silent --no-fund --no-audit --no-save --prefix "$folder/$name" "$package@$version" </dev/null >&2 &
        installing+=($!)
    done <<<"$tools"
    for process in "${installing[@]}"; do wait "$process"; done
    echo "$stamp" >"$folder/.done"
fi
echo "$PWD/$folder"
