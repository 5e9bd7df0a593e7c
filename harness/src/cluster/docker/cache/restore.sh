# Runs in the K3s container before K3s does: copies a cache entry into K3s's data directory and makes sure that the copy is
# what was written. An entry that is no good ends the container with 86 and a line that begins with `k3s-arc: `.
# A container that starts again has its own data, and keeps it.
cache=/k3s-arc-cache data=/var/lib/rancher/k3s restored=/var/lib/rancher/k3s/.k3s-arc-restored
refuse() { echo "k3s-arc: $1" >&2; exit 86; }
value() { sed -n "s/^$1=//p" $cache/manifest; }
digest() { sha256sum | cut -d ' ' -f 1; }

restore() {
    [ -s $cache/manifest ] || refuse 'half-written: it has no manifest'
    [ "$(value format)" = 2 ] || refuse "of format $(value format), and not 2"
    [ "$(cat $cache/digests $cache/sizes | digest)" = "$(value lists)" ] || refuse 'damaged: its lists of files are not what was written'
    touch $cache/used
    cp -a $cache/data/. $data/ || refuse 'not to be copied: see above'
    cd $data
    # Digests of what a cluster is lost without; of the rest, layers of images, that it is there and whole.
    wrong=$(sha256sum -c $cache/digests 2>&1 | grep -v ': OK$' | head -n 1)
    [ -z "$wrong" ] || refuse "damaged: $wrong"
    find . -type f -print0 | xargs -0 stat -c '%s %n' | sort | cmp -s - $cache/sizes || refuse 'damaged: files are missing or cut short'
    cd /
    # The node proves who it is by a password, which K3s keeps outside of its data directory.
    mkdir -p /etc/rancher/node && cp -p $cache/password /etc/rancher/node/password || refuse 'damaged: the password of its node is missing'
    cp $cache/pinned /run/k3s-arc-pinned
    touch $restored
}

[ -e $restored ] || restore
umount $cache
