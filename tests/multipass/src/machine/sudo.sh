#!/bin/sh
# sudo without a password, with sudo's default of an environment that is not the caller's.
user=root login=
while :; do
    case "$1" in
    -u | --user) user=$2 && shift 2 ;;
    -i | --login) login=1 && shift ;;
    -n | -H | -S | --non-interactive | --set-home | --stdin) shift ;;
    --) shift && break ;;
    -*) echo "sudo: invalid option: $1" >&2 && exit 1 ;;
    *) break ;;
    esac
done
[ -z "$login" ] || cd "$(getent passwd "$user" | cut -d: -f6)" || exit 1
[ "$#" -gt 0 ] || set -- /bin/bash
home=$(getent passwd "$user" | cut -d: -f6)
exec su --shell /bin/sh "$user" --command 'exec "$0" "$@"' -- env -i "HOME=$home" "USER=$user" "LOGNAME=$user" \
    "SUDO_USER=$(id -un)" "TERM=${TERM:-dumb}" SHELL=/bin/bash \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin "$@"
