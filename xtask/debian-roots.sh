#!/usr/bin/env bash
# Makes the fresh Debian systems of `make test-dist` in target/packages/roots, and keeps them.
set -euo pipefail
cd "$(dirname "$0")/.."

roots="${CARGO_TARGET_DIR:-target}/packages/roots"
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo --)
mkdir -p "$roots"
for suite in bookworm trixie; do
  [ ! -d "$roots/$suite" ] || continue
  echo "Debian $suite: installing into $roots/$suite"
  "${as_root[@]}" rm -rf "$roots/$suite.new"
  "${as_root[@]}" mmdebstrap --quiet --mode=root --variant=minbase --include=systemd \
    --aptopt='Acquire::Languages "none"' "$suite" "$roots/$suite.new" "$mirror"
  "${as_root[@]}" mv "$roots/$suite.new" "$roots/$suite"
done
