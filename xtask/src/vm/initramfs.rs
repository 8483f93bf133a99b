//! The initramfs of the emulated machine: busybox, the modules to mount the host's files,
//! and a script that continues there.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::vm::kernel::Kernel;
use crate::vm::tools::Tools;

/// Mount tag of the host's files.
pub(crate) const MOUNT_TAG: &str = "host";
/// Modules to mount them. A kernel may have some built in.
const MODULES: [&str; 3] = ["virtio_pci", "9pnet_virtio", "9p"];

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// Makes the initramfs. `guest` is the command line to run on the host's files.
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

/// The script of the first process. If it ends, the kernel panics and the machine ends.
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
        // Inode, mode, user, group, links, time, size, four device numbers, length of the
        // name, and a checksum, which is 0 in this format.
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
