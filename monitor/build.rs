//! Compiles the kernel programs, and writes the table of vendors. Leaves all in `OUT_DIR`,
//! to be embedded.

use std::{env, path::Path};

use anyhow::Context as _;
use aya_build::{Package, Toolchain};

#[path = "build/debug_info.rs"]
mod debug_info;
#[path = "build/vendors.rs"]
mod vendors;

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=../monitor-common");
    println!("cargo::rerun-if-changed=build");
    let out = env::var_os("OUT_DIR").context("OUT_DIR is not set")?;
    let out = Path::new(&out);
    vendors::write(&out.join("vendors.bin"))?;
    let toolchain = env::var("RUSTUP_TOOLCHAIN")
        .context("RUSTUP_TOOLCHAIN is not set: build with rustup's cargo")?;
    // The BPF target is built with its own `core`, an unstable flag of cargo;
    // the variable is set for that inner build only.
    // The kernel programs read no registers of a processor, so they are compiled for one
    // processor. Then all processors get the same bytes. Otherwise the BTF would name the bindings
    // of each processor.
    // SAFETY: a build script has one thread.
    unsafe {
        env::set_var("RUSTC_BOOTSTRAP", "1");
        env::set_var("CARGO_CFG_TARGET_ARCH", "x86_64");
    }
    aya_build::build_ebpf(
        [Package {
            name: "monitor-ebpf",
            root_dir: "../monitor-ebpf",
            ..Package::default()
        }],
        Toolchain::Custom(&toolchain),
    )?;
    for program in ["monitor", "egress"] {
        debug_info::remove(&out.join(program))?;
    }
    Ok(())
}
