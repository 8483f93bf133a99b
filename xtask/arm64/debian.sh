#!/usr/bin/env bash
# Installs the arm64 package in an emulated machine with Debian 12 and systemd: the first blocked
# packet, an upgrade and a downgrade under traffic, removal, purge. The system is made once, which
# takes minutes, and kept in target/packages/roots/debian-arm64.ext4. No run changes it.
set -euo pipefail
# shellcheck source=xtask/arm64/machine.sh
. "$(dirname "$0")/machine.sh"

package=$(find "$dist" -maxdepth 1 -name 'monitor_*_arm64.deb' | sort | tail -n 1)
[ -n "$package" ] || { echo "arm64: error: no package: run \`make dist ARCH=aarch64\`" >&2 && exit 1; }
unpack_kernel
disk="$dist/roots/debian-arm64.ext4"

# initramfs: makes one that mounts the disk. Its init tells a new system from one that is ready.
initramfs() {
  local directory
  directory=$(mktemp -d)
  mkdir -p "$directory"/{bin,dev,disk,modules,opt,proc,sys}
  install -m 755 xtask/arm64/debian-init.sh "$directory/init"
  install -m 755 "$root/bin/busybox" "$directory/bin/"
  modules "$directory/modules" virtio_mmio virtio_blk crc16 crc32c_generic mbcache jbd2 ext4 veth inet_diag udp_diag
  echo "$directory"
}
# drive FILE SNAPSHOT: options for a disk, whose changes are lost if SNAPSHOT is on.
drive() {
  echo -drive "file=$1,format=raw,if=none,id=disk,cache=unsafe,snapshot=$2" -device virtio-blk-device,drive=disk
}

if [ ! -f "$disk" ]; then
  echo "arm64: fetching Debian 12 for arm64"
  "${as_root[@]}" rm -rf "$disk.root" "$disk.new"
  "${as_root[@]}" debootstrap --foreign --arch=arm64 --variant=minbase \
    --include=systemd,systemd-sysv,iproute2,iputils-ping,dnsmasq-base bookworm "$disk.root" "$mirror" >"$dist/debootstrap.log"
  "${as_root[@]}" mkfs.ext4 -q -d "$disk.root" "$disk.new" 1500M
  "${as_root[@]}" chown "$(id -u)" "$disk.new"
  "${as_root[@]}" rm -rf "$disk.root"
  echo "arm64: installing it in the emulated machine"
  directory=$(initramfs)
  # shellcheck disable=SC2046 # words
  (MEMORY=1024 boot "$directory" $(drive "$disk.new" off))
  mv "$disk.new" "$disk"
fi

directory=$(initramfs)
trap 'rm -rf "$directory"' EXIT
install -m 755 xtask/arm64/debian-test.sh "$directory/opt/test.sh"
cp "$package" "$directory/opt/monitor.deb"
# The same with another version.
dpkg-deb --raw-extract "$package" "$directory/newer"
sed -i 's/^Version: .*/&+newer/' "$directory/newer/DEBIAN/control"
dpkg-deb -Zgzip --root-owner-group --build "$directory/newer" "$directory/opt/newer.deb" >/dev/null
rm -r "$directory/newer"
cat >"$directory/opt/blocked.yaml" <<'END'
version: 1
policies:
  - {name: blocked, action: drop, destinations: [198.51.100.0/24]}
END
cat >"$directory/opt/test.service" <<'END'
[Unit]
Description=Test of the package
[Service]
Type=oneshot
ExecStart=/opt/test.sh
END
# shellcheck disable=SC2046 # words
MEMORY=512 boot "$directory" $(drive "$disk" on)
