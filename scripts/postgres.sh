#!/usr/bin/env bash
# A PostgreSQL server for tests: in a folder of its own, on a free port of loopback, with a password of its own.
#
#   postgres.sh setup      installs Debian's package if this machine has no server (as root; others are told what to do)
#   postgres.sh start DIR  makes a cluster in DIR if there is none, starts it, and prints its URL when it answers
#   postgres.sh url DIR    prints the URL
#   postgres.sh stop DIR   stops it
#   postgres.sh run        start in a new folder; prints URL and folder, a line each; when standard input is closed, so also
#                          when whoever holds it is killed, stops it and removes the folder
#
# PostgreSQL refuses to run as root: root's servers run as `postgres`, or `nobody` if there is no such user. Nothing waits
# for a disk (fsync=off); POSTGRES_OPTIONS="-c fsync=on" and the like are appended.
set -euo pipefail

fail() {
    printf 'postgres: %s\n' "$@" >&2
    exit 1
}

# The folder of the newest server on this machine, or nothing.
programs() {
    local found
    found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -1)
    [[ -x $found ]] || found=$(readlink -f "$(command -v initdb || true)")
    [[ -x $found ]] && dirname "$found" || true
}

setup() {
    [[ -z $(programs) ]] || return 0
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null ||
        fail "no PostgreSQL server on this machine: install one (Debian, Ubuntu: sudo apt-get install postgresql)"
    echo "postgres: installing Debian's package" >&2
    export DEBIAN_FRONTEND=noninteractive
    {
        apt-get -qq -o DPkg::Lock::Timeout=300 update
        apt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends postgresql
    } >&2 || fail "apt-get could not install postgresql: see above, or install it by hand"
    [[ -n $(programs) ]] || fail "the package postgresql brought no initdb: install a server by hand"
}

# Runs a command as the user the server runs as.
as_owner() {
    if [[ $(id -u) == 0 ]]; then
        setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups "$@"
    else
        "$@"
    fi
}

start() {
    setup
    local bin password port tries
    bin=$(programs)
    owner=$(id -un)
    [[ $(id -u) != 0 ]] || owner=$(id -un postgres 2>/dev/null || echo nobody)
    mkdir -p "$dir"
    cd "$dir"
    if [[ ! -e url ]]; then
        chmod 700 .
        chown "$owner" .
        as_owner test -w "$dir" || fail "the user $owner cannot reach $dir: name a folder elsewhere (TMPDIR for tests)"
        password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
        as_owner tee password <<<"$password" >/dev/null
        as_owner "$bin/initdb" --pgdata data --username tidemill --pwfile password --auth scram-sha-256 \
            --encoding UTF8 --no-locale --no-sync >log 2>&1 || fail "initdb failed:" "$(tail -3 log)"
        as_owner rm password
    fi
    for tries in {1..50}; do
        if [[ -e url ]]; then port=$(sed 's/.*:\([0-9]*\)\/.*/\1/' url); else port=$((RANDOM % 12000 + 20000)); fi
        if as_owner "$bin/pg_ctl" start --pgdata data --wait --timeout 60 --log server.log --options "-p $port \
            -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off ${POSTGRES_OPTIONS:-}" \
            </dev/null >>log 2>&1; then
            [[ -e url ]] || echo "postgres://tidemill:$password@127.0.0.1:$port/postgres" >url
            return 0
        fi
        # The port may be another's: try the next one.
        [[ ! -e url ]] && grep -q 'could not bind' server.log || break
    done
    fail "the server did not start:" "$(tail -5 server.log log)"
}

stop() {
    [[ -e $dir/data/postmaster.pid ]] || return 0
    owner=$(stat -c %U "$dir")
    cd "$dir"
    as_owner "$(programs)/pg_ctl" stop --pgdata data --mode fast --wait </dev/null >>log 2>&1 ||
        fail "the server did not stop:" "$(tail -3 log)"
}

dir=${2:+$(realpath -m "$2")}
case ${1:-} in
start | stop | url) [[ -n $dir ]] || fail "name the folder: postgres.sh $1 DIR" ;;
esac
case ${1:-} in
setup) setup ;;
start) start && cat "$dir/url" ;;
url) cat "$dir/url" ;;
stop) stop ;;
run)
    dir=$(mktemp -d)
    trap 'stop && cd / && rm -rf "$dir"' EXIT
    trap : INT TERM HUP
    start
    cat "$dir/url" && echo "$dir"
    exec >&-
    cat >/dev/null || true
    ;;
*) sed -n '2,/^set /{s/^# \{0,1\}//;/^set /d;p}' "$0" && exit 2 ;;
esac
