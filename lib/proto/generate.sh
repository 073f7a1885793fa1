#!/bin/sh
# Writes the TypeScript of every .proto beside this script to lib/proto/gen/. With a folder as argument it writes to
# lib/proto/gen/ below that folder instead: the test uses this to compare the checked-in code with the definitions.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
cd "$root"
PATH="$root/node_modules/.bin:$PATH"
export PATH
exec buf generate --template lib/proto/buf.gen.yaml --output "${1:-.}" lib/proto
