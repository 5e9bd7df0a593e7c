#!/bin/sh
# As much of systemd as a service needs that is installed, started, watched and stopped: units of the types `simple`,
# `exec`, `notify` and `oneshot`, restarted as they ask, their output kept for journalctl. `start` returns when a unit is
# ready, or has ended.
units=/run/units
enabled=/etc/systemd/system/multi-user.target.wants

file_of() {
    for directory in /etc/systemd/system /usr/lib/systemd/system; do
        [ ! -e "$directory/$1" ] || { echo "$directory/$1" && return; }
    done
    return 1
}

# The values of a unit file's key, lines that go on joined.
values() { sed -e ':again' -e '/\\$/N; s/\\\n/ /; t again' "$1" | sed -n "s/^$2=//p"; }
value() { values "$1" "$2" | tail -n 1; }

is_running() { [ -e "$units/$1/main" ] && kill -0 "$(cat "$units/$1/main")" 2>/dev/null; }

state_of() {
    if [ ! -d "$units/$1" ]; then echo inactive
    elif is_running "$1" && [ -e "$units/$1/ready" ]; then echo active
    elif [ -e "$units/$1/supervisor" ] && kill -0 "$(cat "$units/$1/supervisor")" 2>/dev/null; then echo activating
    elif [ -e "$units/$1/failed" ]; then echo failed
    else echo inactive
    fi
}

# Runs a unit until it is stopped, or ends and is not to be restarted.
supervise() {
    unit=$1 at=$units/$1 file=$(file_of "$1")
    name=${unit%.service} type=$(value "$file" Type) restart=$(value "$file" Restart)
    exec >>"/var/log/units/$unit.log" 2>&1 </dev/null
    cd /
    ulimit -n 1048576 2>/dev/null || ulimit -n "$(ulimit -Hn)"
    while :; do
        rm -f "$at/ready" "$at/notify"
        values "$file" ExecStartPre | while read -r command; do sh -c "${command#-}" || true; done
        if [ "$type" = notify ]; then
            perl -MSocket -e 'my $s; socket($s, AF_UNIX, SOCK_DGRAM, 0) && bind($s, sockaddr_un($ARGV[0])) or die "$!";
                while (defined recv($s, my $said, 4096, 0)) { if ($said =~ /^READY=1$/m) { open(my $f, ">", $ARGV[1]); exit } }' \
                "$at/notify" "$at/ready" &
            listener=$!
            until [ -S "$at/notify" ] || ! kill -0 "$listener"; do sleep 0.05; done
            export NOTIFY_SOCKET="$at/notify"
        fi
        (
            values "$file" EnvironmentFile | sed -e 's/^-//' -e "s/%N/$name/" | while read -r environment; do
                [ ! -e "$environment" ] || cat "$environment"
            done >"$at/environment"
            set -a && . "$at/environment" && set +a
            eval "exec $(value "$file" ExecStart)"
        ) &
        echo $! >"$at/main"
        [ "$type" = notify ] || touch "$at/ready"
        wait "$(cat "$at/main")"
        code=$?
        [ -z "$listener" ] || kill "$listener" 2>/dev/null
        rm -f "$at/main" "$at/ready"
        echo "$unit: Main process exited, code=exited, status=$code"
        echo "$code" >"$at/ended"
        [ ! -e "$at/stop" ] || return
        case "$restart:$code" in always:* | on-failure:[1-9]*) ;; *) break ;; esac
        seconds=$(value "$file" RestartSec) && sleep "${seconds:-0.1}"
        [ ! -e "$at/stop" ] || return
    done
    [ "$code" = 0 ] || touch "$at/failed"
}

start() {
    file_of "$1" >/dev/null || { echo "Failed to start $1: Unit $1 not found." >&2 && return 5; }
    case "$(state_of "$1")" in active | activating) ;; *)
        rm -rf "$units/$1" && mkdir -p "$units/$1"
        setsid "$0" --supervise "$1" </dev/null >/dev/null 2>&1 &
        echo $! >"$units/$1/supervisor" ;;
    esac
    [ -z "$no_block" ] || return 0
    until [ -e "$units/$1/ready" ]; do
        if [ -e "$units/$1/ended" ]; then
            [ "$(value "$(file_of "$1")" Type):$(cat "$units/$1/ended")" != oneshot:0 ] || return 0
            echo "Job for $1 failed because the control process exited with error code." >&2
            echo "See \"systemctl status $1\" and \"journalctl -xeu $1\" for details." >&2
            return 1
        fi
        sleep 0.1
    done
}

stop() {
    [ -d "$units/$1" ] || return 0
    touch "$units/$1/stop"
    if is_running "$1"; then
        main=$(cat "$units/$1/main")
        kill "$main"
        for _ in $(seq 300); do is_running "$1" || break; sleep 0.1; done
        ! is_running "$1" || kill -9 "$main"
    fi
    rm -rf "${units:?}/$1"
}

status() {
    state=$(state_of "$1")
    echo "● $1 - $(value "$(file_of "$1")" Description)"
    echo "     Loaded: loaded ($(file_of "$1"))"
    echo "     Active: $state"
    ! is_running "$1" || echo "   Main PID: $(cat "$units/$1/main")"
    tail -n 10 "/var/log/units/$1.log" 2>/dev/null
    [ "$state" = active ] || return 3
}

[ "$1" != --supervise ] || { supervise "$2"; exit; }
no_block= quiet= verb=
for argument; do
    shift
    case "$argument" in
    --no-block) no_block=1 ;;
    -q | --quiet) quiet=1 ;;
    --*) ;;
    *) if [ -n "$verb" ]; then set -- "$@" "$argument"; else verb=$argument; fi ;;
    esac
done
[ "$(id -u)" = 0 ] || case "$verb" in start | stop | restart | enable | disable | daemon-reload)
    echo "Failed to $verb $1: Interactive authentication required." >&2 && exit 1 ;;
esac
code=0
for unit; do
    given=$unit unit=$(basename "$unit")
    case "$unit" in *.*) ;; *) unit=$unit.service ;; esac
    case "$verb" in
    start) start "$unit" || code=$? ;;
    stop) stop "$unit" ;;
    restart) stop "$unit" && start "$unit" || code=$? ;;
    enable) file=$(file_of "$unit") && mkdir -p "$enabled" && ln -sf "$file" "$enabled/$unit" || {
        echo "Failed to enable unit: Unit file $given does not exist." >&2 && code=1; } ;;
    disable) rm -f "$enabled/$unit" ;;
    reset-failed) rm -f "$units/$unit/failed" ;;
    is-active) state=$(state_of "$unit") && [ -n "$quiet" ] || echo "$state"; [ "$state" = active ] || code=3 ;;
    is-enabled) [ -e "$enabled/$unit" ] && echo enabled || { echo disabled && code=1; } ;;
    status) file_of "$unit" >/dev/null && { status "$unit" || code=$?; } || {
        echo "Unit $unit could not be found." >&2 && code=4; } ;;
    *) echo "Unknown command verb $verb." >&2 && exit 1 ;;
    esac
done
exit "$code"
