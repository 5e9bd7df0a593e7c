# Runs in a container of its own: copies the frozen data directory of a K3s into a new cache entry, the manifest last.
# $0 is the format.
set -e
cache=/k3s-arc-cache
cd /from
mkdir -p $cache/data/agent/images
for path in * .[!.]* agent/* agent/.[!.]*; do
    case $path in
        # Volumes' contents; archives, whose images containerd has; what is ours.
        agent | storage | agent/images | .k3s-arc | "*" | ".[!.]*" | "agent/*" | "agent/.[!.]*") ;;
        agent/*) cp -a "$path" $cache/data/agent/ ;;
        *) cp -a "$path" $cache/data/ ;;
    esac
done
cp -p .k3s-arc/password $cache/password
cp .k3s-arc/pinned $cache/pinned

cd $cache/data
find . -type s -exec rm {} \;
# SQLite makes its index of the log anew; containerd its own log.
rm -f server/db/state.db-shm agent/containerd/containerd.log
{
    find . -path ./agent/containerd -prune -o -type f -print0
    find ./agent/containerd -type f -name '*.db' -print0
} | xargs -0 sha256sum >$cache/digests
find . -type f -print0 | xargs -0 stat -c '%s %n' | sort >$cache/sizes

cd $cache
cat >manifest.partial <<END
format=$0
kilobytes=$(du -sk data | cut -f 1)
lists=$(cat digests sizes | sha256sum | cut -d ' ' -f 1)
END
mv manifest.partial manifest
