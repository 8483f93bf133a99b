#!/usr/bin/env bash
# Builds what people install, in target/packages: static programs, Debian packages, OpenWrt packages,
# and the files of a container image. Shell, because it only calls cargo, dpkg-deb and tar.
#
#   xtask/dist.sh [ARCH...]         x86_64, aarch64, armv7; without one: x86_64 and aarch64
#   xtask/dist.sh --binary FILE ARCH   packs this program and builds none
#   xtask/dist.sh --version VERSION    another version in the packages
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-target}"
dist="$target/packages"
zig="$(pwd)/$target/tools/zig/bin"
binary=
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
architectures=()

fail() {
  printf 'dist: error: %s\n' "$@" >&2
  exit 1
}
say() { printf 'dist: %s\n' "$*"; }

while [ $# -gt 0 ]; do
  case "$1" in
    --binary) binary=$2 && shift ;;
    --version) version=$2 && shift ;;
    x86_64 | aarch64 | armv7) architectures+=("$1") ;;
    *) fail "unknown argument $1; there are x86_64, aarch64, armv7, --binary FILE and --version VERSION" ;;
  esac
  shift
done
[ "${#architectures[@]}" -gt 0 ] || architectures=(x86_64 aarch64)

# The same sources give the same packages.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH

triple() {
  case "$1" in
    armv7) echo armv7-unknown-linux-musleabihf ;;
    *) echo "$1-unknown-linux-musl" ;;
  esac
}

# As Debian and container registries name it.
debian_name() {
  case "$1" in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    armv7) echo armhf ;;
  esac
}

# OpenWrt names its packages after the processor. The program is the same for all of a line.
openwrt_names() {
  case "$1" in
    x86_64) echo x86_64 ;;
    aarch64) echo aarch64_generic aarch64_cortex-a53 aarch64_cortex-a72 aarch64_cortex-a76 ;;
    armv7) echo arm_cortex-a7_neon-vfpv4 arm_cortex-a9_vfpv3-d16 arm_cortex-a15_neon-vfpv4 ;;
  esac
}

# compile ARCH: prints the path of the program.
compile() {
  local triple flags options=()
  triple=$(triple "$1")
  if ! rustup target list --installed | grep -qx "$triple"; then
    # For a target without a compiled library: from its source. The linker then takes the start
    # files of zig, because those of rustc come with the compiled library.
    options=(-Z "build-std=std,panic_unwind")
    flags=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$triple")_RUSTFLAGS
    export RUSTC_BOOTSTRAP=1 "$flags=-C link-self-contained=no"
  fi
  PATH="$zig:$PATH" cargo zigbuild --package monitor --bin monitor --profile dist \
    --target "$triple" "${options[@]}" >&2
  echo "$target/$triple/dist/monitor"
}

# object ARCH: hash of the kernel programs that the build embedded.
object() {
  local found
  found=$(find "$target/$(triple "$1")/dist/build" -path '*/out/monitor' -type f -printf '%T@ %p\n' |
    sort -rn | head -n 1 | cut -d ' ' -f 2-)
  cat "$found" "$(dirname "$found")/egress" | sha256sum | cut -d ' ' -f 1
}

# pages FROM: man pages and completions, by a program that runs here.
pages() {
  local directory="$dist/manual"
  rm -rf "$directory"
  "$1" manual "$directory"
  gzip -9n "$directory"/*.1
}

# Files that every package has. stage DIRECTORY BINARY
stage() {
  local root=$1
  rm -rf "$root"
  install -D -m 755 "$2" "$root/usr/bin/monitor"
  install -d "$root/etc/monitor/policies.d/lists"
  install -m 644 policies/*.yaml "$root/etc/monitor/policies.d/"
  install -m 644 policies/lists/* "$root/etc/monitor/policies.d/lists/"
}

stage_debian() {
  local root=$1 page
  install -D -m 644 -t "$root/usr/lib/systemd/system" packaging/systemd/*.service
  install -D -m 644 packaging/systemd/monitor.sysusers.conf "$root/usr/lib/sysusers.d/monitor.conf"
  install -D -m 644 packaging/systemd/monitor.tmpfiles.conf "$root/usr/lib/tmpfiles.d/monitor.conf"
  install -D -m 644 -t "$root/usr/share/doc/monitor" packaging/debian/copyright LICENSE-MIT LICENSE-APACHE
  install -D -m 644 -t "$root/usr/share/doc/monitor/examples" packaging/systemd/monitor.yaml policies/examples/*
  gzip -9nc CHANGELOG.md >"$root/usr/share/doc/monitor/changelog.gz"
  install -D -m 644 "$dist/manual/monitor.bash" "$root/usr/share/bash-completion/completions/monitor"
  install -D -m 644 "$dist/manual/_monitor" "$root/usr/share/zsh/vendor-completions/_monitor"
  install -D -m 644 "$dist/manual/monitor.fish" "$root/usr/share/fish/vendor_completions.d/monitor.fish"
  for page in "$dist"/manual/*.1.gz; do
    install -D -m 644 -t "$root/usr/share/man/man1" "$page"
  done
}

# filled FILE NAME=VALUE...: the file with values in place of @NAME@.
filled() {
  local file=$1 text
  shift
  text=$(cat "$file")
  for value in "$@"; do
    text=${text//@${value%%=*}@/${value#*=}}
  done
  printf '%s\n' "$text"
}

# deb ARCH BINARY
deb() {
  local name root size
  name=$(debian_name "$1")
  root="$dist/root-$name"
  stage "$root" "$2"
  stage_debian "$root"
  install -d "$root/DEBIAN"
  install -m 755 -t "$root/DEBIAN" packaging/debian/{postinst,prerm,postrm}
  (cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"
  (cd "$root" && find etc usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
  size=$(du -k -s --apparent-size "$root" | cut -f 1)
  filled packaging/debian/control "VERSION=$version" "ARCH=$name" "SIZE=$size" >"$root/DEBIAN/control"
  chmod -R u=rwX,go=rX "$root"
  dpkg-deb --root-owner-group -Zxz --build "$root" "$dist/monitor_${version}_$name.deb" >/dev/null
  rm -rf "$root"
  report "$dist/monitor_${version}_$name.deb"
}

# packed FILE DIRECTORY NAMES...: a tar archive that depends on the content alone.
packed() {
  local file=$1 directory=$2
  shift 2
  tar --create --format=gnu --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" --directory="$directory" "$@" | gzip -9n >"$file"
}

# ipk ARCH BINARY: an archive of three, for opkg (OpenWrt 24.10 and before).
ipk() {
  local root="$dist/root-ipk" parts="$dist/parts-ipk" bytes name
  stage "$root" "$2"
  install -D -m 755 packaging/openwrt/monitor.init "$root/etc/init.d/monitor"
  install -D -m 644 packaging/openwrt/monitor.config "$root/etc/config/monitor"
  # So every command finds the settings of the service.
  ln -s /var/etc/monitor.yaml "$root/etc/monitor/monitor.yaml"
  bytes=$(du -b -s "$root" | cut -f 1)
  for name in $(openwrt_names "$1"); do
    rm -rf "$parts"
    install -d "$parts/control"
    install -m 755 -t "$parts/control" packaging/openwrt/{postinst,prerm}
    { echo /etc/config/monitor && (cd "$root" && find etc/monitor -type f -printf '/%p\n' | sort); } >"$parts/control/conffiles"
    filled packaging/openwrt/control "VERSION=$version-r1" "ARCH=$name" "BYTES=$bytes" >"$parts/control/control"
    echo 2.0 >"$parts/debian-binary"
    packed "$parts/control.tar.gz" "$parts/control" .
    packed "$parts/data.tar.gz" "$root" .
    packed "$dist/monitor_$version-r1_$name.ipk" "$parts" ./debian-binary ./control.tar.gz ./data.tar.gz
  done
  report "$dist/monitor_$version-r1_$name.ipk"
  rm -rf "$root" "$parts"
}

# image ARCH BINARY: the files that packaging/container/Containerfile copies.
image() {
  install -D -m 755 "$2" "$dist/image/$(debian_name "$1")/monitor"
  install -d "$dist/image/etc/monitor/policies.d/lists" "$dist/image/etc/ssl/certs"
  install -m 644 policies/*.yaml "$dist/image/etc/monitor/policies.d/"
  install -m 644 policies/lists/* "$dist/image/etc/monitor/policies.d/lists/"
  # Feeds are fetched over HTTPS.
  install -m 644 /etc/ssl/certs/ca-certificates.crt "$dist/image/etc/ssl/certs/"
}

report() {
  say "$1: $(stat -c %s "$1" | numfmt --to=iec-i --suffix=B --format=%.1f)"
}

# The processor of this machine first, because its program writes the manual pages.
own=$(uname -m | sed 's/^armv7l$/armv7/')
mkdir -p "$dist"
objects=
declare -A programs
for architecture in "$own" "${architectures[@]}"; do
  [ -z "${programs[$architecture]:-}" ] || continue
  [[ " ${architectures[*]} " == *" $architecture "* ]] || continue
  programs[$architecture]="$dist/monitor-$version-$architecture"
  if [ -n "$binary" ]; then
    install -m 755 "$binary" "${programs[$architecture]}"
  else
    built=$(compile "$architecture")
    install -m 755 "$built" "${programs[$architecture]}"
    objects+="$(object "$architecture")"$'\n'
  fi
  report "${programs[$architecture]}"
done
if [ "$(printf %s "$objects" | sort -u | wc -l)" -gt 1 ]; then
  fail "the kernel programs differ between processors:" "$objects"
fi
pages "${programs[$own]:-$target/release/monitor}"
for architecture in "${architectures[@]}"; do
  deb "$architecture" "${programs[$architecture]}"
  ipk "$architecture" "${programs[$architecture]}"
  image "$architecture" "${programs[$architecture]}"
done
(cd "$dist" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum) >"$dist/SHA256SUMS"
say "checksums of all files: $dist/SHA256SUMS"
