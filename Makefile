# Short names for common commands. xtask/ and cargo do the work.

# rustup and cargo install programs here. Some shells do not have it in PATH.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

# Tests load programs into the kernel and make network namespaces.
ifneq ($(shell id -u),0)
  AS_ROOT = --config "target.'cfg(unix)'.runner = ['sudo', '--preserve-env']"
endif
# The build script of `monitor` sets the same.
BPF_CFG = --config "target.bpfel-unknown-none.rustflags = ['--cfg', 'bpf_target_arch=\"$(shell uname -m)\"']"
# The id of an ordinary user. Tests of the daemon and of the kernel program run a second
# time as this user, with exactly the capabilities of the service.
ORDINARY = 64999
AS_USER = --config "target.'cfg(unix)'.runner = ['xtask/as-user.sh']"
# The programs whose tests start the daemon in a lab. docs/reliability.md lists the exceptions.
NOT_AS_USER = crash faults service packaged
IN_A_LAB = $(shell grep --recursive --files-with-matches Lab::new monitor/tests | sed 's,^monitor/tests/,,; s,[./].*,,' | sort --unique)
# Tests in these programs that run once. docs/reliability.md says why.
AS_ROOT_ONLY = lost_its_pins the_demonstration killed_at_any_call swaps_under_load a_flood
LAB_TESTS = $(addprefix --test ,$(filter-out support $(NOT_AS_USER),$(IN_A_LAB)))
TARGET = $(or $(CARGO_TARGET_DIR),target)
TOOLS = $(TARGET)/tools/bin
IFACE ?=

.PHONY: help build run test test-wifi test-kernels test-dist test-arm64 lint bench dist

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /make \1\t/p' Makefile
	@printf 'make run IFACE=wlan0\trun the daemon on a real interface, with policies/\n'

build: ## build target/release/monitor
	@xtask/setup.sh
	cargo build --release

run: build ## tell a story with phones, a gateway and the internet in network namespaces
	@cargo xtask $(if $(IFACE),run --interface $(IFACE),demo)

# Tests in a lab mostly wait, so twice as many run at once as there are processors.
test: export RUST_TEST_THREADS ?= $(shell expr 2 \* $$(nproc))
# Without --package: it would build dependencies again, with other features.
test: ## run all tests: as root, in network namespaces, then some as an ordinary user
	@xtask/setup.sh
	cargo test --profile checked --no-fail-fast $(AS_ROOT)
	MONITOR_TEST_USER=$(ORDINARY) cargo test --profile checked --no-fail-fast $(AS_ROOT) $(LAB_TESTS) -- \
	  $(addprefix --skip ,$(AS_ROOT_ONLY))
	MONITOR_TEST_USER=$(ORDINARY) cargo test --profile checked $(AS_USER) --test kernel -- --skip random_rulesets

dist: ## build static programs and packages for Debian, OpenWrt and containers, in target/packages
	@xtask/setup.sh --dist
	@xtask/dist.sh $(ARCH)

test-dist: ## install, upgrade and remove the package in fresh Debian 12 and 13 systems
	@xtask/setup.sh --dist
	@xtask/dist.sh x86_64
	xtask/debian-roots.sh
	cargo test --profile checked $(AS_ROOT) --test packaged

# Lists of the networks of a country, for the run with the least memory.
COUNTRY_LISTS := $(wildcard ../shared/data/ranges/cn-v[46].*.txt)

test-arm64: ## run the arm64 and armv7 programs and the arm64 package in an emulated machine
	@xtask/setup.sh --dist
	@xtask/dist.sh x86_64 aarch64 armv7
	xtask/arm64/run.sh aarch64
	MEMORY=128 xtask/arm64/run.sh aarch64 $(COUNTRY_LISTS)
	MEMORY=128 xtask/arm64/run.sh armv7 $(COUNTRY_LISTS)
	xtask/arm64/debian.sh

test-wifi: build ## run access points with WPA2 and WPA3 in an emulated machine (minutes)
	@cargo xtask wifi

test-kernels: build ## run the filter and tests on other kernels, and write the table in docs/kernels.md (up to an hour)
	@cargo xtask kernels

bench: build ## run the benchmarks, about twenty minutes
	@xtask/setup.sh --bench
	@cargo xtask bench

lint: ## check formatting, clippy on both targets, scripts, spelling, licences, advisories
	@xtask/setup.sh --lint
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	RUSTC_BOOTSTRAP=1 cargo clippy --release --package monitor-ebpf --package bench-ebpf --target bpfel-unknown-none -Z build-std=core $(BPF_CFG) -- -D warnings
	shellcheck $$(git ls-files '*.sh') .ci/run
	RUST_LOG=warn $(TOOLS)/taplo fmt --check --diff
	$(TOOLS)/typos
	$(TOOLS)/cargo-deny --log-level error check bans licenses sources
	@xtask/advisories.sh $(TOOLS)/cargo-deny
