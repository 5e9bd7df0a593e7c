# Runs in the K3s container before K3s does, each time that it starts. $0 is what flannel will write, or nothing.

# Docker gives a container another address when it starts again, or from a copy, and the datastore knows the API server by the last one
# until K3s forgets it (15 s to 25 s). What goes there meanwhile would go astray, or to another cluster of the same keys; so this node
# keeps the addresses that it had, on its loopback, and nobody outside hears of it. For good: a watch that begins there
# would else fall silent when the address goes, and be missed 45 s later.
addresses=/var/lib/rancher/k3s/.k3s-arc-addresses
own=$(ip -4 -o addr show scope global | sed -n 's|.* inet \([0-9.]*\)/.*|\1|p')
for address in $own; do
    grep -qxF "$address" $addresses 2>/dev/null || echo "$address" >>$addresses
done
while read -r address; do
    echo "$own" | grep -qxF "$address" && continue
    echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
    ip addr add "$address/32" dev lo
done <$addresses

# A tmpfs hides what is copied into it before the start, so the file is written from inside.
[ -z "$0" ] || { mkdir -p /run/flannel && printf %s "$0" >/run/flannel/subnet.env; }

# K3s stays the container's first process, which it must be to arrange cgroups v2 for the kubelet.
exec /bin/k3s "$@"
