# Runs on a node that came from an entry: pins the images that were pinned when it was made.
set -e
while read -r image; do
    ctr -n k8s.io images label "$image" io.cattle.k3s.pinned=pinned io.cri-containerd.pinned=pinned >/dev/null
done </run/k3s-arc-pinned
rm /run/k3s-arc-pinned
