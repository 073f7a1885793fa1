# The images of Tencrypt, one target each:
#
#   init           writes a pod's rules: iptables, `ip` for IPv6 without ip6tables, and nothing else but Node
#   proxy          the data plane: Node, its libraries and one bundle; no shell, no package
#   control-plane  ca, controller and the chart's hooks: the same with their bundles
#
#   docker build --target proxy -t tencrypt/proxy .       (buildah bud works too; amd64 and arm64)
#
# NODE is any Debian-like image with Node of at least 26.10, npm and node's headers. What it lacks of a compiler, of
# iptables and of iproute2 is installed.
ARG NODE=docker.io/library/node:26.13.1-trixie-slim

# JavaScript is the same for every platform: bundled where the build runs.
FROM --platform=${BUILDPLATFORM} ${NODE} AS bundles
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# --force: one development package is for another platform than some build machines, and is not used here.
RUN npm ci --force --loglevel=error
COPY . .
RUN node build/main.ts /out && \
  mkdir /control-plane && cp -r /out/package.json /out/ca /out/controller /out/hook /control-plane/

# The addons are the platform's own.
FROM ${NODE} AS addons
RUN command -v cc >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; }
WORKDIR /src
COPY build/addons.sh build/
COPY proxy/listen/socket-options.c proxy/listen/
COPY proxy/memory/trim.c proxy/memory/
RUN NODE_INCLUDE=/usr/local/include/node sh build/addons.sh

# What Node needs to run, and nothing else: no shell, no other program.
FROM ${NODE} AS runtime-files
RUN set -eu; mkdir -p /runtime/usr/local/bin /runtime/etc /runtime/tmp /runtime/tencrypt; \
  cp "$(command -v node)" /runtime/usr/local/bin/node; \
  cp -L --parents $(ldd /runtime/usr/local/bin/node | grep -o '/[^ ]*') /runtime/; \
  echo 'tencrypt:x:65532:65532::/tencrypt:/nowhere' >/runtime/etc/passwd; \
  echo 'tencrypt:x:65532:' >/runtime/etc/group; \
  echo 'hosts: files dns' >/runtime/etc/nsswitch.conf; \
  chmod 1777 /runtime/tmp

# iptables in both backends, their extensions and libraries, and `ip` with its own.
FROM ${NODE} AS iptables-files
RUN { command -v iptables-restore && command -v ip; } >/dev/null || \
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends iptables iproute2; }
RUN set -eu; mkdir -p /iptables/usr/sbin; \
  cp -L "$(command -v ip)" /iptables/usr/sbin/ip; \
  cp -a --parents /etc/alternatives/ip*tables* /usr/sbin/xtables-*-multi /usr/sbin/ip*tables* /iptables/; \
  cp -a --parents $(find /usr/lib -type d -name xtables) /iptables/; \
  cp -L --parents $(ldd /iptables/usr/sbin/ip /usr/sbin/xtables-*-multi $(find /usr/lib -path '*/xtables/*.so') | grep -o '/[^ :)]*\.so[^ :)]*' | sort -u) /iptables/

FROM scratch AS runtime
COPY --from=runtime-files /runtime/ /
ENV PATH=/usr/local/bin:/usr/sbin NODE_ENV=production
WORKDIR /tencrypt
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/node"]

FROM runtime AS proxy
COPY --from=bundles /out/package.json dist/
COPY --from=bundles /out/proxy dist/proxy
COPY --from=addons /src/proxy/listen/socket-options.node /src/proxy/memory/trim.node dist/proxy/
# Figures for each are in docs/performance.md.
# - Freed memory up to 16 MB stays with the process: buffers of a bulk transfer otherwise cost a page fault for each 4 KB.
# - Heap: of the container's memory. Left to itself, Node lets that of a proxy with 256 MiB grow to 275 MB.
# - Buffers are counted with the heap, which may grow to 32 MB before all of it is collected. With V8's own limit for
#   what lies outside of the heap, all of it is collected for every 25 MB that a connection carries.
# - New objects have 12 MB instead of 48: a flood of streams then holds less at its worst, and nothing is slower.
# - The proxy may collect when it is idle: proxy/memory/give-back.ts.
ENV MALLOC_TRIM_THRESHOLD_=16777216
CMD ["--max-old-space-size-percentage=50", "--external-memory-accounted-in-global-limit", "--initial-old-space-size=32", "--max-semi-space-size=4", "--expose-gc", "dist/proxy/main.js"]

FROM runtime AS control-plane
COPY --from=bundles /control-plane dist
CMD ["dist/ca/main.js"]

FROM runtime AS init
COPY --from=iptables-files /iptables/ /
COPY --from=bundles /out/package.json dist/
COPY --from=bundles /out/init dist/init
# Root for NET_ADMIN; the pod spec takes every other capability away.
USER 0:0
CMD ["dist/init/main.js"]
