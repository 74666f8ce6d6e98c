#!/usr/bin/env bash
# A Docker daemon that nothing else on the machine notices: its own data, socket and bridge, no firewall rules, and ports
# published on 127.0.0.1 alone. Needs root, and the packages docker.io, iptables and iproute2.
#
#   tests/support/dockerd.sh up FOLDER [GROUP]      returns once unix://FOLDER/docker.sock answers; GROUP may use it
#   tests/support/dockerd.sh down FOLDER            stops it with all that it started, and removes FOLDER
set -euo pipefail

action=$1
folder=$(realpath -m "$2")
group=${3:-root}
export PATH="$PATH:/usr/sbin:/sbin"
export DOCKER_HOST="unix://$folder/docker.sock"
unset DOCKER_CONTEXT

# A bridge for containers, whose network nothing here uses: docker0 may be another daemon's. The range is kept for tests (RFC 2544).
make_bridge() {
    local number
    for number in {0..255}; do
        bridge=openenv-$number
        network=198.18.$number
        [ -z "$(ip -4 route show root "$network.0/24")" ] || continue
        ip link add "$bridge" type bridge 2>/dev/null || continue
        echo "$bridge" >"$folder/bridges"
        ip addr add "$network.1/25" dev "$bridge"
        ip link set "$bridge" up
        return
    done
    echo "dockerd.sh: no bridge can be made: 198.18.0.0/16 is in use" >&2
    exit 1
}

# The network by which a swarm's containers reach the host, on a bridge of this daemon's own: all daemons name theirs alike.
make_swarm_bridge() {
    echo "$bridge-swarm" >>"$folder/bridges"
    docker network create --subnet "$network.128/25" --opt "com.docker.network.bridge.name=$bridge-swarm" \
        --opt com.docker.network.bridge.host_binding_ipv4=127.0.0.1 --opt com.docker.network.bridge.enable_icc=false \
        docker_gwbridge >/dev/null
}

up() {
    mkdir -p "$folder"
    make_bridge
    echo '{}' >"$folder/daemon.json" # not that of the machine
    setsid dockerd --config-file "$folder/daemon.json" --data-root "$folder/data" --exec-root "$folder/exec" \
        --pidfile "$folder/dockerd.pid" --host "$DOCKER_HOST" --group "$group" --bridge "$bridge" --ip 127.0.0.1 \
        --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false >"$folder/dockerd.log" 2>&1 </dev/null &
    if ! answers $! || ! make_swarm_bridge; then
        echo "dockerd.sh: no daemon works at $DOCKER_HOST:" >&2
        tail -n 20 "$folder/dockerd.log" >&2
        down
        exit 1
    fi
}

# Whether the daemon, a process id, answers within a minute.
answers() {
    for _ in {1..600}; do
        ! docker version >/dev/null 2>&1 || return 0
        kill -0 "$1" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# The ids of the processes of this program (a pattern) that were started with a path of this folder.
processes() {
    local file id
    { grep -lzFs -- "$folder/" /proc/[0-9]*/cmdline || true; } | while read -r file; do
        id=${file//[!0-9]/}
        # shellcheck disable=SC2254
        case $(readlink "/proc/$id/exe" || true) in */$1) echo "$id" ;; esac
    done
}

# Sends a signal to the processes of this program, and waits for their end.
end() {
    local ids
    ids=$(processes "$2")
    [ -n "$ids" ] || return 0
    # shellcheck disable=SC2086
    kill -s "$1" $ids 2>/dev/null || true
    for _ in {1..150}; do
        [ -n "$(processes "$2")" ] || return 0
        sleep 0.1
    done
}

down() {
    [ -d "$folder" ] || return 0
    if docker version >/dev/null 2>&1; then
        docker swarm leave --force >/dev/null 2>&1 || true
        docker ps --all --quiet | xargs -r docker rm --force >/dev/null || true
    fi
    end TERM dockerd
    end KILL dockerd
    end KILL 'containerd*'
    local mounted
    tac /proc/self/mounts | while read -r _ mounted _; do
        case $mounted in "$folder"/*) umount --lazy "$mounted" ;; esac
    done
    [ ! -e "$folder/bridges" ] || while read -r bridge; do
        ip link delete "$bridge" 2>/dev/null || true
    done <"$folder/bridges"
    rm -rf --one-file-system "$folder"
}

case $action in
up)
    down # what a run that was killed has left
    up
    ;;
down) down ;;
*) echo "dockerd.sh: up or down, not $action" >&2; exit 2 ;;
esac
