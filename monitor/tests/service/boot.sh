#!/bin/sh
# Boots a systemd as the first process of namespaces of its own, on a copy of a
# root file system that is forgotten with it. Nothing of the machine is changed:
# what is written goes to memory, /proc/sys and /sys are read-only, and none of
# the system's services is started.
#
# With LOWER /, it is the machine's own system, with the units of the project:
#   boot.sh outer ROOT CGROUP / PROJECT BINARY POLICIES   in a mount namespace
# Otherwise it is the system in the directory LOWER, with SHARED at /opt:
#   boot.sh outer ROOT CGROUP LOWER SHARED
set -eu
stage=$1 root=$2 cgroup=$3 lower=$4

if [ "$stage" = outer ]; then
  mount --make-rprivate /
  mount -t tmpfs -o mode=755 tmpfs "$root"
  mkdir "$root/cgroup"
  mount -t cgroup2 cgroup2 "$root/cgroup"
  mkdir "$root/cgroup/$cgroup"
  echo $$ >"$root/cgroup/$cgroup/cgroup.procs"
  umount "$root/cgroup"
  shift
  exec unshare --pid --fork --kill-child --cgroup --ipc --uts --mount \
    sh "$0" inner "$@"
fi

mkdir "$root/upper" "$root/work" "$root/new"
mount -t overlay -o "lowerdir=$lower,upperdir=$root/upper,workdir=$root/work" overlay "$root/new"
new=$root/new

mount -t proc proc "$new/proc"
mount -o bind "$new/proc/sys" "$new/proc/sys"
mount -o bind,remount,ro "$new/proc/sys"
mount -t sysfs sysfs "$new/sys"
mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
mount -o bind,remount,ro "$new/sys"
mount -t tmpfs -o mode=755 tmpfs "$new/run"
mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
mount -t tmpfs -o mode=755 tmpfs "$new/dev"
for device in null zero full random urandom tty; do
  : >"$new/dev/$device"
  mount -o bind "/dev/$device" "$new/dev/$device"
done
ln -s /proc/self/fd "$new/dev/fd"
mkdir "$new/dev/pts" "$new/dev/shm" "$new/dev/mqueue" "$new/dev/hugepages"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$new/dev/pts"
ln -s pts/ptmx "$new/dev/ptmx"

# Only what systemd itself needs.
rm -rf "$new/etc/systemd" "$new/usr/lib/systemd/system-generators" \
  "$new"/usr/lib/systemd/system/*.wants
: >"$new/etc/fstab"
mkdir -p "$new/etc/systemd/system"
install_project() {
  project=$1 binary=$2 policies=$3
  mkdir -p "$new/etc/systemd/system/monitor.service.d" "$new/etc/monitor/policies.d"
  cp "$project"/packaging/systemd/*.service "$new/etc/systemd/system/"
  cp "$project/packaging/systemd/monitor.yaml" "$new/etc/monitor/"
  cp "$project/packaging/systemd/monitor.sysusers.conf" "$new/usr/lib/sysusers.d/monitor.conf"
  cp "$project/packaging/systemd/monitor.tmpfiles.conf" "$new/usr/lib/tmpfiles.d/monitor.conf"
  # A system call that is not on the list ends the daemon here: nothing that it
  # does without goes unnoticed.
  cat >"$new/etc/systemd/system/monitor.service.d/test.conf" <<'END'
[Service]
SystemCallErrorNumber=
RestartSec=100ms
StandardOutput=append:/run/monitor.log
StandardError=append:/run/monitor.log
END
  : >"$new/usr/bin/monitor"
  mount -o bind "$binary" "$new/usr/bin/monitor"
  mount -o bind "$policies" "$new/etc/monitor/policies.d"
}
if [ "$lower" = / ]; then
  install_project "$5" "$6" "$7"
else
  mount -o bind,ro "$5" "$new/opt"
  mkdir -p "$new/run/systemd/system/monitor.service.d"
  printf '[Service]\nStandardOutput=append:/run/monitor.log\nStandardError=append:/run/monitor.log\n' \
    >"$new/run/systemd/system/monitor.service.d/test.conf"
fi
printf '[Unit]\nDescription=Nothing\nDefaultDependencies=no\n' >"$new/etc/systemd/system/nothing.target"

cd "$new"
mkdir -p "$new/mnt"
pivot_root . mnt
umount -l /mnt
if [ "$lower" = / ]; then
  systemd-sysusers /usr/lib/sysusers.d/monitor.conf
  systemd-tmpfiles --create /usr/lib/tmpfiles.d/monitor.conf
fi
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=nothing.target --log-target=console --show-status=no
