#!/usr/bin/env bash
# Runs a static program in an emulated machine with Debian 12's arm64 kernel: load, drop, count,
# reload, replay, detach, in both modes. This kernel runs programs for armv7 too.
#
#   xtask/arm64/run.sh aarch64|armv7 [LIST...]   LISTs become `count` policies beside the shipped ones
#   MEMORY=128 xtask/arm64/run.sh           MiB of the machine
set -euo pipefail
# shellcheck source=xtask/arm64/machine.sh
. "$(dirname "$0")/machine.sh"

processor=${1:-aarch64}
[ $# -eq 0 ] || shift
binary=$(find "$dist" -maxdepth 1 -name "monitor-*-$processor" | sort | tail -n 1)
[ -x "${binary:-}" ] || { echo "arm64: error: no program for $processor: run \`make dist ARCH=$processor\`" >&2 && exit 1; }
unpack_kernel

initramfs=$(mktemp -d)
trap 'rm -rf "$initramfs"' EXIT
mkdir -p "$initramfs"/{bin,dev,lib,modules,policies,proc,run,sys,tmp,usr/bin,var}
install -m 755 xtask/arm64/init.sh "$initramfs/init"
install -m 755 "$root/bin/busybox" "$initramfs/bin/"
# Under another name: the shell of busybox prefers its own `ip`.
install -m 755 "$root/bin/ip" "$initramfs/usr/bin/iproute2"
install -m 755 "$binary" "$initramfs/bin/monitor"
modules "$initramfs/modules" veth

# libraries FILE: copies what a program needs, and what that needs.
libraries() {
  local name file
  while read -r name; do
    [ ! -e "$initramfs/lib/$name" ] || continue
    file=$(find "$root/lib" "$root/usr/lib" -name "$name" -print -quit)
    cp -L "$file" "$initramfs/lib/$name"
    libraries "$file"
  done < <(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
}
libraries "$root/bin/ip"

cp -r policies/*.yaml policies/lists "$initramfs/policies/"
cat >"$initramfs/policies/blocked.yaml" <<'END'
version: 1
policies:
  - {name: blocked, action: drop, destinations: [198.51.100.0/24, 2001:db8:bad::/48]}
END
number=0
for list in "$@"; do
  number=$((number + 1))
  cp "$list" "$initramfs/policies/lists/extra-$number.txt"
  printf 'version: 1\npolicies:\n  - {name: extra-%s, action: count, destinations: [{list: lists/extra-%s.txt}]}\n' \
    "$number" "$number" >"$initramfs/policies/extra-$number.yaml"
done
# Three frames, two of them to the blocked address.
python3 - "$initramfs/replay.pcap" <<'END'
import struct, sys
frames = []
for last in ((198, 51, 100, 10), (192, 0, 2, 10), (198, 51, 100, 10)):
    ethernet = bytes([2, 0, 0, 0, 0, 1, 0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33, 8, 0])
    ip = bytes([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 0, 2, *last])
    frames.append(ethernet + ip + bytes([0xC0, 0, 1, 0xBB, 0, 8, 0, 0]))
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for frame in frames:
        file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
END
boot "$initramfs"
