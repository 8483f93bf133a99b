//! Compiles the kernel program and leaves it in `OUT_DIR`, to be embedded.

use std::env;

use anyhow::Context as _;
use aya_build::{Package, Toolchain};

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=../monitor-common");
    let toolchain = env::var("RUSTUP_TOOLCHAIN")
        .context("RUSTUP_TOOLCHAIN is not set: build with rustup's cargo")?;
    // The BPF target is built with its own `core`, an unstable flag of cargo;
    // the variable is set for that inner build only.
    // SAFETY: a build script has one thread.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    aya_build::build_ebpf(
        [Package {
            name: "monitor-ebpf",
            root_dir: "../monitor-ebpf",
            ..Package::default()
        }],
        Toolchain::Custom(&toolchain),
    )
}
