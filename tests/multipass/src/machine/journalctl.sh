#!/bin/sh
# What a unit has written: `journalctl --unit NAME [--lines N] [--no-pager]`.
unit= lines=+1
while [ "$#" -gt 0 ]; do
    case "$1" in
    -u | --unit) unit=$2 && shift ;;
    --unit=*) unit=${1#*=} ;;
    -n | --lines) lines=$2 && shift ;;
    --lines=*) lines=${1#*=} ;;
    -n*) lines=${1#-n} ;;
    -o | --output) shift ;;
    esac
    shift
done
[ -r "/var/log/units/${unit%.service}.service.log" ] || { echo "-- No entries --" && exit 0; }
exec tail -n "$lines" "/var/log/units/${unit%.service}.service.log"
