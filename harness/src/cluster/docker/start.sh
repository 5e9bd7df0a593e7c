# Runs in the K3s container before K3s does, each time that it starts. $0 is what flannel will write, or nothing.

# The address that K3s advertises its API at. Nobody outside asks for it.
ip addr add 192.0.2.1/32 dev lo

# A tmpfs hides what is copied into it before the start, so the file is written from inside.
[ -z "$0" ] || { mkdir -p /run/flannel && printf %s "$0" >/run/flannel/subnet.env; }

# K3s stays the container's first process, which it must be to arrange cgroups v2 for the kubelet.
exec /bin/k3s "$@"
