# Runs on a node that is about to be frozen: puts into its data directory what an entry needs from elsewhere.
set -e
stage=/var/lib/rancher/k3s/.k3s-arc
mkdir -p -m 0700 $stage
cp -p /etc/rancher/node/password $stage/password
# Images that K3s imported are safe from the kubelet's garbage collection; K3s forgets that when it starts and finds no archives.
ctr -n k8s.io images ls -q 'labels."io.cattle.k3s.pinned"==pinned' >$stage/pinned
