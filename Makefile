# What a person types; everything else is in xtask/ and cargo.

# rustup and cargo install here, and not every shell has it in PATH.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

# Tests load programs into the kernel and make network namespaces.
ifneq ($(shell id -u),0)
  AS_ROOT = --config "target.'cfg(unix)'.runner = ['sudo', '--preserve-env']"
endif
# As the build script of `monitor` sets it.
BPF_CFG = --config "target.bpfel-unknown-none.rustflags = ['--cfg', 'bpf_target_arch=\"$(shell uname -m)\"']"
# A user without a name, as which tests of the daemon and of the kernel program run
# once more, with the capabilities of the service and no others.
ORDINARY = 64999
AS_USER = --config "target.'cfg(unix)'.runner = ['xtask/as-user.sh']"
# All that start the daemon in a lab; those left out are listed in docs/reliability.md.
NOT_AS_USER = crash faults service
IN_A_LAB = $(shell grep --recursive --files-with-matches Lab::new monitor/tests | sed 's,^monitor/tests/,,; s,[./].*,,' | sort --unique)
LAB_TESTS = $(addprefix --test ,$(filter-out support $(NOT_AS_USER),$(IN_A_LAB)))
TARGET = $(or $(CARGO_TARGET_DIR),target)
TOOLS = $(TARGET)/tools/bin
IFACE ?=

.PHONY: help build run test lint bench

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /make \1\t/p' Makefile
	@printf 'make run IFACE=wlan0\tthe daemon on a real interface, with policies/\n'

build: ## the binary, target/release/monitor
	@xtask/setup.sh
	cargo build --release

run: build ## a lab on this machine: a phone, the gateway, the internet
	@cargo xtask $(if $(IFACE),run --interface $(IFACE),lab)

# By name, not by package: so nothing is built anew with other features.
test: ## every test; those of the kernel as root, in namespaces of their own, then as an ordinary user
	@xtask/setup.sh
	cargo test --release --no-fail-fast $(AS_ROOT)
	MONITOR_TEST_USER=$(ORDINARY) cargo test --release --no-fail-fast $(AS_ROOT) $(LAB_TESTS) -- \
	  --skip lost_its_pins
	MONITOR_TEST_USER=$(ORDINARY) cargo test --release $(AS_USER) --test kernel -- --skip random_rulesets

bench: build ## what it costs, beside what one would use instead; some twenty minutes
	@xtask/setup.sh --bench
	@cargo xtask bench

lint: ## formatting, clippy on both targets, scripts, spelling, licences, advisories
	@xtask/setup.sh --lint
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	RUSTC_BOOTSTRAP=1 cargo clippy --release --package monitor-ebpf --package bench-ebpf --target bpfel-unknown-none -Z build-std=core $(BPF_CFG) -- -D warnings
	shellcheck $$(git ls-files '*.sh') .ci/run
	RUST_LOG=warn $(TOOLS)/taplo fmt --check --diff
	$(TOOLS)/typos
	$(TOOLS)/cargo-deny --log-level error check bans licenses sources
	@xtask/advisories.sh $(TOOLS)/cargo-deny
