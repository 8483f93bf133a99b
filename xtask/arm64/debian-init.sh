#!/bin/busybox sh
# shellcheck shell=dash
# First process of the emulated machine with Debian. A new system is installed (the second stage of
# debootstrap); one that is ready starts systemd with debian-test.sh as a service.
export PATH=/bin
/bin/busybox --install -s /bin 2>/dev/null
mount -t devtmpfs dev /dev 2>/dev/null
exec </dev/console >/dev/console 2>&1
end() {
  echo "@monitor $*"
  sync
  poweroff -f
}
mount -t proc proc /proc || end failed to mount /proc
mount -t sysfs sys /sys || end failed to mount /sys
# In the order in which they need each other.
for module in virtio_mmio virtio_blk crc16 crc32c_generic mbcache jbd2 ext4 veth inet_diag udp_diag; do
  insmod "/modules/$module.ko" || end "failed to load $module"
done
tries=0
until [ -b /dev/vda ]; do
  tries=$((tries + 1))
  [ $tries -lt 60 ] || end failed to find the disk
  sleep 1
done
mount -t ext4 /dev/vda /disk || end failed to mount the disk

if [ -d /disk/debootstrap ]; then
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin
  chroot /disk /debootstrap/debootstrap --second-stage | sed 's/^I: /@monitor /'
  [ ! -d /disk/debootstrap ] || end failed to install
  umount /disk
  end "done"
fi
cp /opt/* /disk/opt/
cp /opt/test.service /disk/etc/systemd/system/
mkdir -p /disk/etc/systemd/system/multi-user.target.wants
ln -s ../test.service /disk/etc/systemd/system/multi-user.target.wants/
echo "@monitor starts systemd"
umount /proc /sys
exec switch_root /disk /sbin/init
