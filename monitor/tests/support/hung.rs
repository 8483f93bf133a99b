//! A file system that does not answer, like one whose server is unreachable.

use std::{
    fs::File,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use super::lab::sh;

/// A mounted file system without a server. Every call on it blocks until this
/// value is dropped.
pub(crate) struct Hung {
    folder: PathBuf,
    _server: OwnedFd,
}

impl Hung {
    pub(crate) fn mount(folder: &Path) -> Self {
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .expect("open /dev/fuse");
        // The process `mount` inherits this copy.
        let server = nix::unistd::dup(&device).expect("copy a descriptor");
        sh(&format!(
            "mount -i -t fuse -o fd={},rootmode=40000,user_id=0,group_id=0,allow_other hung {}",
            server.as_raw_fd(),
            folder.display()
        ));
        Self {
            folder: folder.to_owned(),
            _server: server,
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        sh(&format!("umount -l {}", self.folder.display()));
    }
}
