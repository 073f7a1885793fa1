#!/bin/sh
# Makes a clone ready for every npm script: npm packages, the addons of the proxy, and the system tools.
#
# Idempotent, quick when nothing is missing, safe to run several times at once. Installs system packages with apt-get
# as root; where it cannot, it stops with one line that says what to install (exit 77). Without root only what the
# unprivileged tests need is demanded.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

stop() {
  echo "setup: $1" >&2
  exit 77
}

have() { command -v "$1" >/dev/null 2>&1; }

# Names the Debian packages of the commands that are missing.
missing_packages() {
  missing=""
  have cc || missing="$missing gcc"
  [ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
  have flock || missing="$missing util-linux"
  if [ "$(id -u)" = 0 ]; then
    { have iptables-restore && have ip6tables-restore; } || missing="$missing iptables"
    have ip || missing="$missing iproute2"
    have tcpdump || missing="$missing tcpdump"
    have openssl || missing="$missing openssl"
    { have setpriv && have nsenter; } || missing="$missing util-linux"
  fi
  echo "$missing" | tr ' ' '\n' | sort -u | tr '\n' ' ' | sed 's/^ *//; s/ *$//'
}

install_packages() {
  packages=$(missing_packages)
  [ -n "$packages" ] || return 0
  [ "$(id -u)" = 0 ] || stop "not root, so nothing was installed; run as root: apt-get install -y $packages"
  have apt-get || stop "no apt-get here; install with the system's own tool what Debian calls: $packages"
  echo "setup: installing $packages" >&2
  log=$(mktemp)
  # shellcheck disable=SC2086  # one word a package
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } \
    >"$log" 2>&1 </dev/null; then
    tail -n 5 "$log" >&2
    rm -f "$log"
    stop "apt-get failed; install by hand: apt-get install -y $packages"
  fi
  rm -f "$log"
}

# A tree that npm finished writing is newer than the lockfile; a half-made or stale one is not.
packages_current() { [ node_modules/.package-lock.json -nt package-lock.json ] && [ -x node_modules/.bin/node ]; }

install_npm_packages() {
  packages_current && return 0
  have npm || stop "npm is missing; install it first: apt-get install -y npm"
  [ "$(uname -sm)" = "Linux x86_64" ] || stop "development needs Linux on x86_64, this is $(uname -sm)"
  npm ci --loglevel=error --no-audit --no-fund >&2
  touch node_modules/.package-lock.json
}

build_addons() {
  [ ! -e build/addons.sh ] || sh build/addons.sh >&2
}

install_packages
exec 9<package-lock.json # a file that is there for every user; the lock is on it, its text is npm's
flock 9
install_npm_packages
build_addons
