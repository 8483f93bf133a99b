#!/usr/bin/env bash
# Makes the fresh Debian systems of `make test-dist` in target/packages/roots, and keeps them.
set -euo pipefail
cd "$(dirname "$0")/.."

roots="${CARGO_TARGET_DIR:-target}/packages/roots"
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo --)
mkdir -p "$roots"
# root NAME SUITE PACKAGES
root() {
  [ ! -d "$roots/$1" ] || return 0
  echo "Debian $2 with $3: installing into $roots/$1"
  "${as_root[@]}" rm -rf "$roots/$1.new"
  "${as_root[@]}" mmdebstrap --quiet --mode=root --variant=minbase --include="$3" \
    --aptopt='Acquire::Languages "none"' "$2" "$roots/$1.new" "$mirror"
  "${as_root[@]}" mv "$roots/$1.new" "$roots/$1"
}
root bookworm bookworm systemd
root trixie trixie systemd
root trixie-network-manager trixie systemd,network-manager,dnsmasq-base,nftables,iproute2
