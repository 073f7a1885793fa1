#!/usr/bin/env bash
# Ends a cluster that up.sh started and removes all of it: processes (ending a
# node's init ends its pid namespace with everything in it), mounts and network
# namespaces (they go with the processes), cgroups, the bridge, the state.
# Safe to run at any time, also after an up.sh that was cut off.
#   CLUSTER_STATE as for up.sh;  --keep-logs leaves its folder log
set -uo pipefail
state=${CLUSTER_STATE:?}
[ -e "$state/name" ] || { echo "no cluster in $state"; exit 0; }
name=$(cat "$state/name")
rc=0
# every process of a node is in the node's own cgroups: those are the ones to
# end, the first process of its pid namespace (the oldest pids) first
for list in "$state"/nodes/*/cgroups; do
  [ -f "$list" ] || continue
  for _ in $(seq 200); do
    pids=$(while read -r d; do find "$d" -name cgroup.procs -exec cat {} + 2>/dev/null; done <"$list" | sort -nu)
    [ -n "$pids" ] || break
    kill -KILL $pids 2>/dev/null
    sleep 0.05
  done
  while read -r d; do
    case $d in /sys/fs/cgroup/*/ks-"$name"-n[0-9]*) ;; *) continue ;; esac
    for _ in $(seq 100); do
      [ -d "$d" ] || break
      find "$d" -depth -type d -exec rmdir {} + 2>/dev/null
      [ ! -d "$d" ] || sleep 0.1
    done
    [ ! -d "$d" ] || { echo "left: $d" >&2; rc=1; }
  done <"$list"
done
# the parent of an init is gone only when the whole pid namespace is
for p in $(cat "$state"/nodes/*/parent 2>/dev/null); do
  for _ in $(seq 100); do
    grep -qs -- "$state/node-init" "/proc/$p/cmdline" || break
    sleep 0.1
  done
done
if ip link show "ks$name" >/dev/null 2>&1; then ip link delete "ks$name" || rc=1; fi
for l in $(ip -br link | awk -v p="ks${name}v" 'index($1, p) == 1 {sub(/@.*/, "", $1); print $1}'); do
  ip link delete "$l" 2>/dev/null # goes by itself with its network namespace
done
[ $rc = 0 ] || { echo "not all gone, state kept in $state" >&2; exit 1; }
if [ "${1:-}" = --keep-logs ]; then
  find "$state" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf --one-file-system {} +
else
  rm -rf --one-file-system "$state"
fi
