//! A file as a slice of bytes. The kernel reads its pages when they are used, and can drop
//! them again, so the file takes no memory of this program.

use std::{fs::File, io, os::fd::AsRawFd as _, ptr, slice};

/// A mapped file.
pub(super) struct Mapped {
    start: *mut libc::c_void,
    length: usize,
}

impl Mapped {
    /// Maps a whole file. It must be a file without a name that no other process has open:
    /// if such a process made it shorter, reading it would kill this program.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let (access, shared) = (libc::PROT_READ, libc::MAP_PRIVATE);
        if length == 0 {
            let start = ptr::null_mut();
            return Ok(Self { start, length });
        }
        // SAFETY: makes a new mapping of `length` bytes at an address that the kernel
        // chooses. The mapping stays valid after the file is closed.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), length, access, shared, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start, length })
    }

    /// Returns the bytes of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: the mapping has `length` bytes and lives as long as `self`. Nothing writes
        // to the file, see `new`.
        unsafe { slice::from_raw_parts(self.start.cast::<u8>(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: `new` made this mapping, and no slice of it outlives `self`. An error
            // would only leave the mapping in place.
            unsafe { libc::munmap(self.start, self.length) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_bytes_of_a_file_are_mapped() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(Mapped::new(&file).unwrap().bytes(), b"");
        let content = b"content".repeat(1000);
        file.write_all(&content).unwrap();
        let mapped = Mapped::new(&file).unwrap();
        drop(file);
        assert_eq!(mapped.bytes(), content);
    }
}
