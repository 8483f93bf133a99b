#!/usr/bin/env bash
# Installs what building, running and testing monitor needs, and skips what is
# there already. Not written in Rust because Rust may not be there yet.
#
#   xtask/setup.sh          what `make build`, `make run` and `make test` need
#   xtask/setup.sh --lint   also what `make lint` needs
#   xtask/setup.sh --bench  also what the benchmark compares with
#   xtask/setup.sh --fuzz   also what `cargo xtask fuzz` needs
#   xtask/setup.sh --dist   also what `make dist` and `make test-dist` need
set -euo pipefail
cd "$(dirname "$0")/.."

# rustc 1.98 is LLVM 22: bpf-linker must be built with the same or a newer one.
llvm=22
bpf_linker=0.13.0
# package: why
packages=(
  "gcc: links the Rust programs"
  "libc6-dev: links the Rust programs"
  "ca-certificates: checks who the downloads come from"
  "curl: fetches rustup, and asks servers in the lab"
  "openssl: serves TLS in the lab, and stamps reports in the tests"
  "llvm-$llvm-dev: bpf-linker links it"
  "libpolly-$llvm-dev: bpf-linker links it"
  "libzstd-dev: bpf-linker links it"
  "zlib1g-dev: bpf-linker links it"
  "iproute2: makes the lab's network namespaces"
  "util-linux: enters them (nsenter)"
  "procps: switches forwarding on in them (sysctl)"
  "mount: mounts bpffs"
  "nftables: NAT of the lab's gateway; a filter to compare with in benchmarks"
  "ethtool: turns off what would merge packets in the lab"
  "iputils-ping: tells when the neighbours of a test know each other"
  "systemd: checks the units, and runs them in namespaces of their own in a test"
  "dnsmasq-base: answers DNS queries in the lab"
  "bind9-dnsutils: asks DNS queries in the lab (dig)"
  "python3-venv: holds the validator of CASE, which checks reports in the tests"
  "tidy: checks the HTML of reports and of the page in the tests"
  "openssh-client: signs reports in the tests (ssh-keygen)"
  "minisign: signs reports in the tests"
  "tmux: is the terminal of monitor top in the tests"
  "mosquitto: is the broker of alerts in the tests"
  "mosquitto-clients: reads from it"
  "chromium: shows the pages in the tests"
  "chromium-driver: controls it"
  "strace: kills the daemon at each call, and refuses each, in the tests"
)
lint_packages=("shellcheck: checks the shell scripts" "git: lists the files to check")
bench_packages=(
  "iptables: uses the sets of ipset"
  "ipset: a filter to compare with"
  "xdp-tools: a filter to compare with (xdp-filter)"
)
fuzz_packages=("g++: compiles libFuzzer")
dist_packages=(
  "dpkg: makes Debian packages"
  "git: dates the packages by the last commit"
  "python3-venv: holds zig and cargo-zigbuild"
  "mmdebstrap: makes the fresh Debian systems in which the packages are installed"
  "qemu-user-static: starts programs for other processors"
  "podman: builds and runs the container image in a test"
  "crun: starts its containers"
  "qemu-system-arm: emulates an arm64 machine"
  "cpio: makes its initramfs"
  "debootstrap: fetches a Debian for it"
  "e2fsprogs: makes its disk"
)
# Targets of the static programs. Where one has no compiled library, `make dist` compiles it.
dist_targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf)
# C compiler and linker for them.
zigbuild=(cargo-zigbuild==0.24.0 ziglang==0.17.1)
# crate version command [option]; taplo without its language server and HTTP client
lint_tools=(
  "taplo-cli 0.10.0 taplo --no-default-features"
  "typos-cli 1.52.0 typos"
  "cargo-deny 0.20.2 cargo-deny"
)
fuzz_tools=("cargo-fuzz 0.13.2 cargo-fuzz")

# Test the alert rules. They are unpacked and not installed, because Debian starts both for every
# address of the machine.
unpacked_packages=(prometheus prometheus-alertmanager)

# Looks for obstacles on the pages for people who use a screen reader or a keyboard.
# A package of PyPI has the script as a file.
axe_core=4.12.1
axe_core_package=axe-playwright-python==0.1.8
axe_core_sha256=84494fec757e4710dc751c8d7a636e457f4532f08f85c86dc9070133fbff53bc

# Checks reports in the form of CASE. The file names its version and those of its parts.
case_utils=xtask/case-utils.txt

target="${CARGO_TARGET_DIR:-target}"
logs="$target/setup"
cargo_bin="${CARGO_HOME:-$HOME/.cargo}/bin"
export PATH="$cargo_bin:$PATH"
job=
trap '[ -z "$job" ] || kill "$job" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: error: %s\n' "$@" >&2
  exit 1
}

# progress LOG WHAT COMMAND...: hides the output in a log, shows the time it takes.
progress() {
  local log="$logs/$1.log" what="$2" start=$SECONDS shown=0 elapsed
  shift 2
  mkdir -p "$logs"
  [ -t 1 ] || say "$what ..."
  "$@" >"$log" 2>&1 </dev/null &
  job=$!
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.2
    elapsed=$((SECONDS - start))
    if [ -t 1 ]; then
      printf '\rsetup: %s ... %d s' "$what" "$elapsed"
    elif [ $((elapsed - shown)) -ge 15 ]; then
      shown=$elapsed
      say "$what ... $elapsed s"
    fi
  done
  [ ! -t 1 ] || printf '\n'
  if ! wait "$job"; then
    job=
    tail -n 30 "$log" >&2
    fail "$what: failed after $((SECONDS - start)) s; all of its output is in $log"
  fi
  job=
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -- "$@"; fi
}

# need_root COMMAND: asks for the password now, as a hidden command cannot.
need_root() {
  [ "$(id -u)" -ne 0 ] || return 0
  command -v sudo >/dev/null || fail "this needs root, and there is no sudo. As root, run: $1"
  sudo -v || fail "this needs root, and sudo refused. As root, run: $1"
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@"
}

has_candidate() {
  [[ "$(apt-cache policy "$1" 2>/dev/null)" == *"Candidate: "[!\(]* ]]
}

# Where a foreign repository does not answer, Debian's own may still have
# everything: whether it does is seen when the packages are asked for.
apt_update() {
  [ -z "${updated:-}" ] || return 0
  updated=yes
  progress apt-update "apt-get update (the lists of packages)" apt_update_tolerant
}

apt_update_tolerant() {
  apt update || echo "apt-get update ended with $?"
}

# missing "PACKAGE: why"...: those that are not installed, one a line.
missing() {
  local names=("${@%%:*}") there
  there=" $(dpkg-query -W -f '${Package}/${db:Status-Status} ' "${names[@]}" 2>/dev/null || true)"
  local entry
  for entry in "$@"; do
    [[ "$there" == *" ${entry%%:*}/installed "* ]] || printf '%s\n' "$entry"
  done
}

debian_packages() {
  local todo names
  mapfile -t todo < <(missing "$@")
  if [ "${#todo[@]}" -eq 0 ]; then
    say "Debian packages: there already"
    return
  fi
  names=("${todo[@]%%:*}")
  need_root "apt-get update && apt-get install --no-install-recommends ${names[*]}"
  printf 'setup: package %s\n' "${todo[@]}"
  apt_update
  local name
  for name in "${names[@]}"; do
    has_candidate "$name" || fail "apt-get knows no package $name. $(where_it_is "$name")"
  done
  progress apt-install "apt-get install ${#names[@]} packages" \
    apt install -y --no-install-recommends --no-remove "${names[@]}"
}

where_it_is() {
  case "$1" in
    *-"$llvm"-dev) echo "Debian has LLVM $llvm in bookworm-security (12), trixie-security (13) and sid: add yours to /etc/apt/sources.list, or see https://apt.llvm.org." ;;
    *) echo "What apt-get update said is in $logs/apt-update.log." ;;
  esac
}

# Other distributions name their packages otherwise: says what has to be there.
other_packages() {
  local command absent=()
  for command in gcc curl ip nsenter mount ethtool systemd-analyze strace python3 chromedriver tidy ssh-keygen minisign openssl tmux mosquitto mosquitto_sub "$@"; do
    command -v "$command" >/dev/null || absent+=("$command")
  done
  [ "${#absent[@]}" -eq 0 ] || fail "this is not Debian (no apt-get), and these commands are not here: ${absent[*]}." \
    "Install them, and the development files of LLVM $llvm with Polly, zstd and zlib, by hand; then run this again."
  say "not Debian: the commands are there; bpf-linker also needs the development files of LLVM $llvm"
}

install_rustup() {
  if command -v rustup >/dev/null; then
    say "rustup: there already"
    return
  fi
  if debian_has_rustup; then
    need_root "apt-get install rustup"
    progress rustup "apt-get install rustup (it installs the Rust that this project names)" \
      apt install -y --no-install-recommends --no-remove rustup
  else
    progress rustup "fetch rustup from static.rust-lang.org into $cargo_bin (it installs the Rust that this project names)" \
      fetch_rustup
  fi
}

# Debian's package cannot stand beside Debian's cargo and rustc; the fetched one can.
debian_has_rustup() {
  command -v apt-get >/dev/null || return 1
  [ -n "$(missing "cargo: -")" ] && [ -n "$(missing "rustc: -")" ] || return 1
  has_candidate rustup
}

# The program itself, not the script that chooses one: it lies where the Rust comes
# from as well, and with its checksum.
fetch_rustup() {
  local from folder status=0
  from="${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}/dist/$(rust_platform)" || return 1
  folder=$(mktemp -d) || return 1
  verified_rustup "$from" "$folder" &&
    "$folder/rustup-init" -y --no-modify-path --default-toolchain none --profile minimal || status=$?
  rm -rf "$folder"
  return "$status"
}

verified_rustup() {
  local expected
  curl --proto '=https' --tlsv1.2 -sSf -o "$2/rustup-init" "$1/rustup-init" || return 1
  expected=$(curl --proto '=https' --tlsv1.2 -sSf "$1/rustup-init.sha256") || return 1
  printf '%s  %s\n' "${expected%% *}" "$2/rustup-init" | sha256sum --check --quiet || return 1
  chmod +x "$2/rustup-init"
}

# As Rust names it.
rust_platform() {
  case "$(uname -m)" in
    x86_64 | aarch64 | riscv64) echo "$(uname -m | sed 's/^riscv64$/riscv64gc/')-unknown-linux-gnu" ;;
    armv7l) echo armv7-unknown-linux-gnueabihf ;;
    *)
      echo "no rustup is known for $(uname -m): see https://rustup.rs" >&2
      return 1
      ;;
  esac
}

# Named in full: `rustup toolchain install` alone reads the file since 1.28 only,
# and Debian 13 has 1.27.
install_toolchain() {
  local channel components component installed
  channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
  components=$(sed -n 's/^components = \[\(.*\)\]$/\1/p' rust-toolchain.toml | tr -d '" ')
  if [ -z "$channel" ] || [ -z "$components" ]; then
    fail "rust-toolchain.toml names no channel or no components"
  fi
  installed=$(rustup component list --installed --toolchain "$channel" 2>/dev/null || true)
  for component in rustc ${components//,/ }; do
    if ! grep -q "^$component" <<<"$installed"; then
      progress toolchain "rustup toolchain install $channel with $components" \
        rustup toolchain install "$channel" --profile minimal --component "$components" --no-self-update
      return
    fi
  done
  say "Rust $channel with $components: there already"
}

install_bpf_linker() {
  if [ "$(bpf-linker --version 2>/dev/null)" = "bpf-linker $bpf_linker" ]; then
    say "bpf-linker $bpf_linker: there already"
  elif command -v cargo-binstall >/dev/null; then
    progress bpf-linker "cargo binstall bpf-linker $bpf_linker (it links the kernel program)" \
      cargo binstall --no-confirm --force "bpf-linker@$bpf_linker"
  else
    progress bpf-linker "compile bpf-linker $bpf_linker (it links the kernel program; about two minutes)" \
      compile_bpf_linker
  fi
}

compile_bpf_linker() {
  env -u CARGO_TARGET_DIR PATH="/usr/lib/llvm-$llvm/bin:$PATH" \
    cargo install bpf-linker --version "$bpf_linker" --locked --force \
    --no-default-features --features "llvm-$llvm"
}

# Below target, as the tools of `make lint`. Where pip looks for packages is pip's configuration.
install_case_utils() {
  local venv="$target/tools/case-utils" version
  version=$(sed -n 's/^case-utils==//p' "$case_utils")
  if [ "$(case_utils_version "$venv")" = "$version" ]; then
    say "case-utils $version: there already"
  else
    progress case-utils "pip install case-utils $version into $venv (it checks reports in the tests; about half a minute)" \
      make_venv "$venv" "$case_utils"
  fi
}

# Below target, like case-utils. A script that a test runs in the browser.
install_axe_core() {
  local folder="$target/tools/axe-core"
  if [ "$(cat "$folder/installed" 2>/dev/null)" = "$axe_core_sha256" ]; then
    say "axe-core $axe_core: there already"
  else
    progress axe-core "fetch axe-core $axe_core into $folder (it checks the pages in the tests)" \
      fetch_axe_core "$folder"
  fi
}

fetch_axe_core() {
  local bin="$target/tools/case-utils/bin"
  rm -rf "$1" && mkdir -p "$1" || return 1
  "$bin/pip" download --disable-pip-version-check --no-deps --only-binary :all: --dest "$1" "$axe_core_package" || return 1
  "$bin/python" -m zipfile -e "$1"/*.whl "$1" || return 1
  mv "$1/axe_playwright_python/axe.min.js" "$1/axe.min.js" || return 1
  printf '%s  %s\n' "$axe_core_sha256" "$1/axe.min.js" | sha256sum --check --quiet || return 1
  rm -r "$1"/axe_playwright_python*
  echo "$axe_core_sha256" >"$1/installed"
}

case_utils_version() {
  "$1/bin/python" -c 'from importlib.metadata import version; print(version("case-utils"))' 2>/dev/null || true
}

make_venv() {
  python3 -m venv --clear "$1" || return 1
  "$1/bin/pip" install --disable-pip-version-check --requirement "$2"
}

# Below target, like case-utils.
install_prometheus() {
  local tools="$target/tools/prometheus"
  if [ -x "$tools/usr/bin/promtool" ] && [ -x "$tools/usr/bin/prometheus-alertmanager" ]; then
    say "${unpacked_packages[*]}: there already"
  elif ! command -v apt-get >/dev/null; then
    say "no ${unpacked_packages[*]}: unpack them into $tools, or the tests of the alert rules are skipped"
  else
    apt_update
    progress prometheus "unpack Debian's ${unpacked_packages[*]} into $tools (they test the alert rules; 30 MB)" \
      unpack_packages "$tools" "${unpacked_packages[@]}"
  fi
}

# unpack_packages DIRECTORY PACKAGE...: only their programs.
unpack_packages() (
  mkdir -p "$1" && cd "$1" || exit 1
  shift
  apt-get download "$@" || exit 1
  local package
  for package in ./*.deb; do
    dpkg-deb --extract "$package" . || exit 1
  done
  rm -rf ./*.deb etc lib var usr/share usr/lib
)

# These go below target: they are this project's, not the user's.
install_tools() {
  local tool crate version command options
  for tool in "$@"; do
    read -r crate version command options <<<"$tool"
    if [[ "$("$target/tools/bin/$command" --version 2>/dev/null)" == *" $version" ]]; then
      say "$command $version: there already"
    else
      progress "$command" "compile $crate $version into $target/tools (some minutes)" \
        env -u CARGO_TARGET_DIR cargo install "$crate" --version "$version" --locked --force --root "$target/tools" ${options:+"$options"}
    fi
  done
}

# Below target, like case-utils.
install_zigbuild() {
  local venv="$target/tools/zig"
  if [ "$(cat "$venv/installed" 2>/dev/null)" = "${zigbuild[*]}" ]; then
    say "${zigbuild[*]}: there already"
  else
    progress zigbuild "pip install ${zigbuild[*]} into $venv (C compiler and linker for other processors)" \
      make_zig "$venv"
  fi
}

make_zig() {
  python3 -m venv --clear "$1" || return 1
  "$1/bin/pip" install --disable-pip-version-check "${zigbuild[@]}" || return 1
  echo "${zigbuild[*]}" >"$1/installed"
}

install_targets() {
  local channel triple installed
  channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
  installed=$(rustup target list --installed --toolchain "$channel")
  for triple in "${dist_targets[@]}"; do
    if grep -qx "$triple" <<<"$installed"; then
      say "Rust library for $triple: there already"
    else
      rustup target add --toolchain "$channel" "$triple" >/dev/null 2>&1 ||
        say "Rust library for $triple: none to be had; make dist compiles it"
    fi
  done
}

lint=
bench=
fuzz=
dist=
case "${1:-}" in
  "") ;;
  --lint) lint=yes ;;
  --bench) bench=yes ;;
  --fuzz) fuzz=yes ;;
  --dist) dist=yes ;;
  *) fail "unknown argument $1; there are --lint, --bench, --fuzz and --dist" ;;
esac
if command -v apt-get >/dev/null; then
  [ -z "$lint" ] || packages+=("${lint_packages[@]}")
  [ -z "$bench" ] || packages+=("${bench_packages[@]}")
  [ -z "$fuzz" ] || packages+=("${fuzz_packages[@]}")
  [ -z "$dist" ] || packages+=("${dist_packages[@]}")
  debian_packages "${packages[@]}"
else
  commands=()
  [ -z "$lint" ] || commands+=(shellcheck git)
  [ -z "$bench" ] || commands+=(nft iptables ipset xdp-filter)
  [ -z "$fuzz" ] || commands+=(g++)
  [ -z "$dist" ] || commands+=(dpkg-deb git mmdebstrap)
  other_packages "${commands[@]}"
fi
install_rustup
install_toolchain
install_bpf_linker
install_case_utils
install_prometheus
install_axe_core
[ -z "$lint" ] || install_tools "${lint_tools[@]}"
[ -z "$fuzz" ] || install_tools "${fuzz_tools[@]}"
if [ -n "$dist" ]; then
  install_zigbuild
  install_targets
fi
