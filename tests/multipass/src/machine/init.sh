#!/bin/sh
# The first process of a machine: what a distribution's init does, as far as a machine's users notice.

# The root of a cgroup v2 namespace may hold processes or have children with controllers, not both; K3s needs the second.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p /sys/fs/cgroup/init
    while read -r pid; do echo "$pid"; done </sys/fs/cgroup/cgroup.procs | while read -r pid; do
        echo "$pid" >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null
    done
    sed 's/[a-z][a-z]*/+&/g' </sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi
mount --make-rshared /

# The user that Multipass's images have, who may do anything by sudo. `su` is what a minimal image has to become root with.
id ubuntu >/dev/null 2>&1 || useradd --create-home --shell /bin/bash ubuntu
usermod --append --groups sudo ubuntu
grep -q group=sudo /etc/pam.d/su || sed -i "1i auth sufficient pam_wheel.so trust group=sudo" /etc/pam.d/su

mkdir -p /run/units /var/log/units /var/lib/cloud/instance
for unit in /etc/systemd/system/multi-user.target.wants/*.service; do
    [ ! -e "$unit" ] || systemctl --no-block start "$(basename "$unit")"
done
touch /run/booted

# A shell that waits also reaps what orphaned processes leave.
trap 'for unit in /run/units/*; do [ ! -e "$unit" ] || systemctl stop "$(basename "$unit")"; done; exit 0' TERM
sleep infinity &
while kill -0 $! 2>/dev/null; do wait $!; done
