#!/bin/sh
# Runs in the emulated machine as a service of systemd. Lines with @monitor are shown by machine.sh.
exec </dev/null >/dev/console 2>&1
say() { echo "@monitor $*"; }
end() {
  say "$@"
  sync
  systemctl --force --force poweroff
}
trap 'end failed' EXIT
must_be() { # must_be WHAT EXPECTED FOUND
  if [ "$2" = "$3" ]; then say "seen $1: $3"; else
    cat /run/setup.log
    journalctl --unit monitor --no-pager | tail -n 20
    trap - EXIT
    end "failed $1: $3, not $2"
    exit 1
  fi
}
say "Debian $(cat /etc/debian_version), kernel $(uname -r) $(uname -m), $(systemctl --version | head -n 1)"
blocked=198.51.100.10 open=192.0.2.10

# A gateway: devices at wlan0, which a DHCP server serves; the default route at wan0.
echo 1 >/proc/sys/net/ipv4/ip_forward || exit 1
ip netns add phone || exit 1
ip link add wlan0 type veth peer name eth0 netns phone || exit 1
ip link add wan0 type veth peer name far0 || exit 1
ip address add 10.77.0.1/24 dev wlan0 && ip link set wlan0 up || exit 1
ip address add 203.0.113.2/24 dev wan0 && ip link set wan0 up && ip link set far0 up || exit 1
ip route add default via 203.0.113.1 dev wan0 || exit 1
ip address add $blocked/32 dev lo && ip address add $open/32 dev lo || exit 1
ip -n phone address add 10.77.0.2/24 dev eth0 && ip -n phone link set eth0 up || exit 1
ip -n phone route add default via 10.77.0.1 || exit 1
dnsmasq --user=root --port=0 --interface=wlan0 --bind-dynamic --dhcp-range=10.77.0.10,10.77.0.20 \
  --dhcp-leasefile=/run/leases --pid-file=/run/dnsmasq.pid || exit 1

# answers ADDRESS: how many of 5 pings come back.
answers() { ip netns exec phone ping -c 5 -i 0.2 -W 1 "$1" | sed -n 's/.*, \([0-9]*\) received.*/\1/p'; }
dropped() {
  monitor status --json | grep -A 60 '"name": "blocked"' | grep -A 2 '"dropped"' |
    sed -n 's/.*"packets": \([0-9]*\).*/\1/p' | head -n 1
}
# A service that reloads its settings is active too.
state() { if systemctl --quiet is-active monitor; then echo active; else echo inactive; fi; }
programs() { ip link show wlan0 | grep -c xdp; }

must_be "answers without the package" 5 "$(answers $blocked)"
began=$(date +%s)
dpkg --install /opt/monitor.deb || exit 1
must_be "service after the installation" inactive "$(state)"
must_be "programs at wlan0" 0 "$(programs)"
cp /opt/blocked.yaml /etc/monitor/policies.d/
monitor setup --yes >/run/setup.log || exit 1
must_be "interface that setup finds" 1 "$(grep -c 'filter  wlan0: a DHCP server of this machine' /run/setup.log)"
systemctl restart monitor || exit 1
must_be "service after setup" active "$(state)"
must_be "answers from the blocked address" 0 "$(answers $blocked)"
must_be "dropped" 5 "$(dropped)"
say "from dpkg --install to the fifth dropped packet: $(($(date +%s) - began)) s"
must_be "answers from the other address" 5 "$(answers $open)"
say "memory of the daemon: $(sed -n 's/VmRSS:[[:space:]]*//p' "/proc/$(systemctl show --property MainPID --value monitor)/status")"

# An upgrade, and a downgrade, while packets flow.
for package in newer monitor; do
  before=$(dropped)
  ip netns exec phone ping -n -i 0.05 -W 1 $blocked >/run/blocked.log &
  ping=$!
  dpkg --install "/opt/$package.deb" || exit 1
  kill -INT $ping
  wait $ping
  sent=$(sed -n 's/\([0-9]*\) packets transmitted.*/\1/p' /run/blocked.log)
  [ "${sent:-0}" -gt 10 ] || exit 1
  must_be "service with $(dpkg-query --show --showformat '${Version}' monitor)" active "$(state)"
  must_be "answers during the installation" 0 "$(sed -n 's/.*, \([0-9]*\) received.*/\1/p' /run/blocked.log)"
  must_be "all $sent packets dropped" $((before + sent)) "$(dropped)"
done

dpkg --remove monitor || exit 1
must_be "answers after the removal" 5 "$(answers $blocked)"
must_be "settings after the removal" 1 "$(grep -c wlan0 /etc/monitor/monitor.yaml)"
dpkg --install /opt/monitor.deb || exit 1
must_be "service after another installation" active "$(state)"
must_be "answers" 0 "$(answers $blocked)"
dpkg --purge monitor || exit 1
must_be "answers after the purge" 5 "$(answers $blocked)"
must_be "programs at wlan0" 0 "$(programs)"
must_be "files and user left" "" "$(ls -d /etc/monitor /var/lib/monitor /run/monitor /usr/bin/monitor 2>/dev/null)$(getent passwd monitor)"
trap - EXIT
end "done"
