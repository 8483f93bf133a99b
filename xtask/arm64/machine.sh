# shellcheck shell=bash
# Debian 12's arm64 kernel in an emulated machine, for run.sh and debian.sh. Nothing is installed;
# the packages are unpacked into target/packages/roots/arm64.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

dist="${CARGO_TARGET_DIR:-target}/packages"
root="$dist/roots/arm64"
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo --)

# Unpacks kernel and tools, once.
unpack_kernel() {
  [ ! -d "$root" ] || return 0
  echo "arm64: unpacking Debian's arm64 kernel and tools into $root"
  "${as_root[@]}" mmdebstrap --quiet --mode=root --arch=arm64 --variant=extract \
    --include=busybox-static,iproute2,linux-image-arm64,kmod,ethtool bookworm "$root.new" "$mirror"
  "${as_root[@]}" mv "$root.new" "$root"
}

# modules DIRECTORY NAME...: copies kernel modules.
modules() {
  local directory=$1 name
  shift
  for name in "$@"; do find "$root/lib/modules" -name "$name.ko" -exec cp '{}' "$directory/" \;; done
}

# boot DIRECTORY [QEMU OPTION...]: starts the machine with DIRECTORY as its initramfs, shows what it
# says, and waits for its end. Lines with @monitor are what it says; the last is `@monitor done`.
# The machine is ended if its console is silent for 600 s: each step writes a line.
boot() {
  local directory=$1 log="$dist/console-arm64.log" silence=600 kernel machine
  shift
  (cd "$directory" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$dist/initramfs-arm64"
  kernel=$(find "$root/boot" -name 'vmlinuz-*' | sort | tail -n 1)
  : >"$log"
  qemu-system-aarch64 -machine virt -accel tcg,thread=multi -cpu max,pauth-impdef=on -smp 2 \
    -m "${MEMORY:-256}" -nodefaults -nic none -display none -monitor none -serial stdio -no-reboot \
    -kernel "$kernel" -initrd "$dist/initramfs-arm64" "$@" \
    -append "console=ttyAMA0 quiet loglevel=4 panic=-1" </dev/null >"$log" 2>&1 &
  machine=$!
  # shellcheck disable=SC2064 # these values
  trap "kill $machine 2>/dev/null || true; rm -rf '$directory' '$dist/initramfs-arm64'" EXIT
  tail --pid="$machine" --lines=+1 --follow "$log" | sed -u -n 's/\r$//; s/.*@monitor //p' &
  while kill -0 "$machine" 2>/dev/null; do
    sleep 1
    if [ $(($(date +%s) - $(stat -c %Y "$log"))) -gt "$silence" ]; then
      echo "arm64: error: the machine was silent for $silence s" >&2
      kill "$machine"
    fi
  done
  wait "$machine" || true
  wait
  if ! grep -q '@monitor done' "$log"; then
    tail -n 20 "$log" >&2
    echo "arm64: error: it did not come to its end; the console is in $log" >&2
    exit 1
  fi
}
