#!/bin/busybox sh
# shellcheck shell=dash
# First process of the emulated machine: drops, counts, reloads, replays and detaches. Lines with
# @monitor are read by run.sh. If a step fails, the machine ends, and says where.
export PATH=/bin:/usr/bin
/bin/busybox --install -s /bin 2>/dev/null
mount -t devtmpfs dev /dev 2>/dev/null
exec </dev/console >/dev/console 2>&1
ip() { iproute2 "$@"; }
say() { echo "@monitor $*"; }
end() {
  say "$@"
  sync
  poweroff -f
}
trap 'end failed' EXIT
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t tmpfs -o mode=755 run /run && mount -t tmpfs tmp /tmp || exit 1
mount -t bpf -o mode=0700 bpf /sys/fs/bpf || exit 1
for module in /modules/*.ko; do insmod "$module" || exit 1; done
say "kernel $(uname -r) $(uname -m), $(monitor --version)"

blocked=198.51.100.10 open=192.0.2.10
ip netns add phone || exit 1
ip link add lan0 type veth peer name eth0 netns phone || exit 1
ip link set lo up
ip address add 10.77.0.1/24 dev lan0 && ip link set lan0 up
ip address add $blocked/32 dev lo && ip address add $open/32 dev lo
ip -n phone address add 10.77.0.2/24 dev eth0 && ip -n phone link set eth0 up
ip -n phone route add default via 10.77.0.1

# answers ADDRESS: how many of 5 pings come back.
answers() {
  ip netns exec phone ping -c 5 -i 0.2 -W 1 "$1" | sed -n 's/.* \([0-9]*\) packets received.*/\1/p'
}
must_be() { # must_be WHAT EXPECTED FOUND
  if [ "$2" = "$3" ]; then say "seen $1: $3"; else end "failed $1: $3, not $2"; fi
}
reach="--socket /run/m.sock --pin-dir /sys/fs/bpf/monitor"
# shellcheck disable=SC2086 # words
dropped() {
  monitor status $reach --json | grep -A 60 '"name": "blocked"' | grep -A 2 '"dropped"' |
    sed -n 's/.*"packets": \([0-9]*\).*/\1/p' | head -n 1
}
wait_for() { # wait_for WHAT COMMAND...
  local what=$1 tries=0
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 120 ] || { cat /run/daemon.log; end "failed waited in vain: $what"; }
    sleep 1
  done
}
# shellcheck disable=SC2086 # words
start() { # start MODE
  monitor run --interface lan0 --mode "$1" --policies /policies --state-dir /tmp/state $reach >>/run/daemon.log 2>&1 &
  daemon=$!
  wait_for "the daemon answers" monitor status --socket /run/m.sock
}
memory() {
  say "memory $1: daemon $(sed -n 's/VmRSS: *//p' /proc/$daemon/status), at most $(sed -n 's/VmHWM: *//p' /proc/$daemon/status); free of all $(sed -n 's/MemAvailable: *//p' /proc/meminfo) of $(sed -n 's/MemTotal: *//p' /proc/meminfo)"
}
generation() { monitor status --socket /run/m.sock --json | sed -n 's/.*"generation": \([0-9]*\).*/\1/p' | head -n 1; }
newer() { [ "$(generation)" -gt "$1" ]; }

must_be "answers without a filter" 5 "$(answers $blocked)"
for mode in generic native; do
  start $mode
  must_be "$mode: answers from the blocked address" 0 "$(answers $blocked)"
  must_be "$mode: answers from the other address" 5 "$(answers $open)"
  must_be "$mode: dropped" 5 "$(dropped)"
  memory "$mode"
  before=$(generation)
  echo "# changed" >>/policies/blocked.yaml
  # shellcheck disable=SC2086 # words
  monitor reload --socket /run/m.sock >/dev/null || exit 1
  wait_for "a new generation" newer "$before"
  must_be "$mode: answers after a reload" 0 "$(answers $blocked)"
  must_be "$mode: counters go on" 10 "$(dropped)"
  memory "$mode, after a reload"
  kill -9 $daemon && wait $daemon 2>/dev/null
  must_be "$mode: answers without a daemon" 0 "$(answers $blocked)"
  must_be "$mode: dropped" 15 "$(dropped)"
  # shellcheck disable=SC2086 # words
  monitor detach $reach >/dev/null || exit 1
  must_be "$mode: answers after detaching" 5 "$(answers $blocked)"
done
replayed=$(monitor replay /replay.pcap --policies /policies/blocked.yaml --json | grep -A 6 '"blocked"' | tr -d ' \n')
say "replayed $replayed"
case "$replayed" in *'"dropped":2'*) ;; *) end "failed replay: $replayed" ;; esac
trap - EXIT
end "done"
