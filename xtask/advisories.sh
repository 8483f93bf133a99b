#!/usr/bin/env bash
# Checks the dependencies against the RustSec advisories, where they can be fetched.
#
#   xtask/advisories.sh CARGO-DENY
set -euo pipefail
cd "$(dirname "$0")/.."
deny="$1"

# Without the database nothing can be said about the dependencies: that is
# said, and is no reason to refuse every change made without a network.
if ! said=$("$deny" --log-level error fetch db 2>&1); then
  printf "advisories: NOT CHECKED, the database cannot be fetched:\n%s\n" "$said"
  exit 0
fi
"$deny" --log-level error check advisories
