#!/bin/sh
# Runs a test as the user MONITOR_TEST_USER with exactly the capabilities that
# the daemon needs. cargo calls it as a runner.
set -eu
[ "$(id -u)" -eq 0 ] || exec sudo --preserve-env -- "$0" "$@"
program=$1
shift
capabilities=-all,+bpf,+net_admin,+perfmon
# By its descriptor: the file may lie where that user cannot look.
exec setpriv --reuid="$MONITOR_TEST_USER" --regid="$MONITOR_TEST_USER" --clear-groups \
  --inh-caps="$capabilities" --ambient-caps="$capabilities" --bounding-set="$capabilities" \
  --no-new-privs /proc/self/fd/3 "$@" 3<"$program"
