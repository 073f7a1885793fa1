#!/usr/bin/env bash
# node.sh NODE COMMAND...: runs a command in a node's namespaces and cgroups, as
# root, with the containerd socket at its usual place. Paths must be absolute.
#   node.sh n1 ctr -n k8s.io images import --local /abs/image.tar    loads an image
#   node.sh n1 nft list ruleset                                       kube-proxy's rules
# CLUSTER_STATE and TENCRYPT_CACHE as for up.sh.
set -euo pipefail
state=${CLUSTER_STATE:?}
dir=$state/nodes/${1:?node}; shift
pid=$(cat "$dir/pid")
while read -r d; do echo "$$" >"$d/cgroup.procs"; done <"$dir/cgroups"
exec env -i PATH="$(cat "$state/containerd-path"):${TENCRYPT_CACHE:?}/bin:$PATH" HOME=/root nsenter -t "$pid" -m -u -i -n -p -C -- "$@"
