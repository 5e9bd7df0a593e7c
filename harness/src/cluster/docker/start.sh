# Runs in the K3s container before K3s does, each time that it starts. $0 is what flannel will write, or nothing.

# The address that K3s advertises its API at. Nobody outside asks for it.
ip addr add 192.0.2.1/32 dev lo

# Docker gives a container another address when it starts again, or from a copy, and the datastore knows the node by the last one until
# its kubelet says another. On a busy host K3s's network policy controller looks for it before that, and K3s ends where no
# interface has it. So the node has the addresses of its last starts, too, for a while, and nobody outside hears of it.
addresses=/var/lib/rancher/k3s/.k3s-arc-addresses
touch $addresses
own=$(ip -4 -o addr show dev eth0 | sed -n 's|.* inet \([0-9.]*\)/.*|\1|p')
others=$(grep -vxF "$own" $addresses | tail -n 4)
printf '%s\n' $others $own >$addresses.new && mv $addresses.new $addresses
if [ -n "$others" ] && echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore; then
    for address in $others; do ip addr add "$address/32" dev lo; done
    (sleep 60; for address in $others; do ip addr del "$address/32" dev lo; done) >/dev/null 2>&1 &
fi

# A tmpfs hides what is copied into it before the start, so the file is written from inside.
[ -z "$0" ] || { mkdir -p /run/flannel && printf %s "$0" >/run/flannel/subnet.env; }

# K3s stays the container's first process, which it must be to arrange cgroups v2 for the kubelet.
exec /bin/k3s "$@"
