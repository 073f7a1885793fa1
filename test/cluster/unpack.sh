#!/bin/sh
# Unpacks the images of a test cluster once, into what containerd keeps on a node's disk. A node then begins with a copy of
# hard links instead of an import of its own, which takes 16 s. containerd never writes into a layer that is there; its
# databases, which it does write to, are copied by whoever makes a node (nodes/up.sh).
#
# Needs root, and what build.sh and images.sh have made.
set -eu
work=${TENCRYPT_CACHE:?the cache folder}/images
target=$work/unpacked
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

exec 8>"$work/lock"
flock 8
stamp=$({ cat "$0" "$work/cluster.stamp" "$work/tencrypt.stamp"; containerd --version; } | sha256sum | cut -d' ' -f1)
if [ -d "$target" ] && [ "$(cat "$target.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
started=$(date +%s)
rm -rf --one-file-system "$target" "$target.tmp" "$target.stamp"
mkdir -p "$target.tmp/root" "$target.tmp/run"
# A file of version 2 is read by containerd 1 and 2.
cat >"$target.tmp/containerd.toml" <<K
version = 2
root = "$target.tmp/root"
state = "$target.tmp/run"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs", "io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$target.tmp/containerd.sock"
K
cat >"$target.tmp/unpack" <<'K'
set -eu
cd "$1"
containerd --config "$1/containerd.toml" >"$1/log" 2>&1 &
daemon=$!
for _ in $(seq 100); do [ ! -S "$1/containerd.sock" ] || break; sleep 0.1; done
local=
if ctr images import --help 2>/dev/null | grep -q -- --local; then local=--local; fi
for archive in cluster tencrypt; do
  ctr --address "$1/containerd.sock" -n k8s.io images import $local "$1/../$archive.tar" >>"$1/log" 2>&1
done
kill -TERM "$daemon"
wait "$daemon" || true
K
# Its mounts and processes go with it, however it ends.
unshare --mount --pid --fork --kill-child --mount-proc sh "$target.tmp/unpack" "$target.tmp" || {
  tail -n 20 "$target.tmp/log" >&2
  exit 1
}
mv "$target.tmp/root" "$target"
rm -rf --one-file-system "$target.tmp"
echo "$stamp" >"$target.stamp"
echo "cluster: images unpacked: $(($(date +%s) - started)) s, $(du -sh "$target" | cut -f1)" >&2
