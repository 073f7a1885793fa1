#!/bin/sh
# Writes the TypeScript of every .proto beside this script to lib/proto/gen/. With a folder as argument it writes to
# lib/proto/gen/ below that folder instead: the test uses this to compare the checked-in code with the definitions.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
cd "$root"
PATH="$root/node_modules/.bin:$PATH"
export PATH
# buf wants a folder to cache in, also where it fetches nothing and there is no home folder.
BUF_CACHE_DIR=$(mktemp -d)
export BUF_CACHE_DIR
trap 'rm -rf "$BUF_CACHE_DIR"' EXIT
buf generate --template lib/proto/buf.gen.yaml --output "${1:-.}" lib/proto
