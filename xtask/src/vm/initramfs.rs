//! The first file system of the emulated machine: busybox, the modules that
//! reach the host's files, and a script that goes there.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::vm::kernel::Kernel;
use crate::vm::tools::Tools;

/// The name that the host's files have in the machine.
pub(crate) const MOUNT_TAG: &str = "host";
/// What is needed to mount them; a kernel may have it built in.
const MODULES: [&str; 3] = ["virtio_pci", "9pnet_virtio", "9p"];

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// Makes it. `guest` is a command line for the host's files.
pub(crate) fn make(kernel: &Kernel, tools: &Tools, guest: &str) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "host", "modules", "proc"] {
        archive.add(directory, DIRECTORY, &[])?;
    }
    archive.add_file("bin/busybox", PROGRAM, &tools.busybox())?;
    let mut loads = String::new();
    for file in kernel.modules(&MODULES, tools)? {
        let name = file.file_name().context("a module without a name")?;
        let name = format!("modules/{}", name.to_string_lossy());
        archive.add_file(&name, FILE, &file)?;
        loads.extend(["$busybox insmod /", &name, " || exit 1\n"]);
    }
    archive.add("init", PROGRAM, init(&loads, guest).as_bytes())?;
    archive.finish()
}

/// A script that ends is a kernel that panics, which ends the machine.
fn init(loads: &str, guest: &str) -> String {
    format!(
        "#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
$busybox mount -t proc proc /proc
{loads}cd /host
$busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose {MOUNT_TAG} /host || exit 1
$busybox mount -t proc proc /host/proc
$busybox mount -t sysfs sys /host/sys
$busybox mount -t devtmpfs dev /host/dev
$busybox mount -t tmpfs run /host/run
exec $busybox chroot /host {guest}
"
    )
}

/// A cpio archive in the format `newc`.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add_file(&mut self, name: &str, mode: u32, file: &Path) -> Result<()> {
        let content = fs::read(file).with_context(|| file.display().to_string())?;
        self.add(name, mode, &content)
    }

    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).with_context(|| format!("{name} is too large"))?;
        let name_size = u32::try_from(name.len() + 1).context("a long name")?;
        // inode, mode, user, group, links, time, size, device and its device,
        // the length of the name, and a checksum that this format has not.
        let header = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in header {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        self.add("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
