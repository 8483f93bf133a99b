//! An array map in this process's memory (`BPF_F_MMAPABLE`, Linux 5.5, commit
//! fc9702273e2e), as words of 8 bytes that the kernel may change meanwhile.

use std::{
    io,
    marker::PhantomData,
    mem::size_of,
    os::fd::{AsFd, AsRawFd as _},
    ptr, slice,
    sync::atomic::{AtomicU64, Ordering, fence},
};

use aya::{
    Pod,
    maps::{Array, Map, MapData, MapError},
};
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_map_type::BPF_MAP_TYPE_ARRAY};

use super::sys;

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// An array that is mapped for as long as the value lives. Its size comes from
/// the descriptor that is mapped.
pub(super) struct SharedArray {
    start: *mut libc::c_void,
    elements: usize,
    /// Words of an element: the kernel rounds elements of an array up to 8 bytes
    /// (`kernel/bpf/arraymap.c`).
    words: usize,
}

/// One that may be written as well.
pub(super) struct WritableArray(SharedArray);

impl SharedArray {
    /// Maps the whole array, to be read.
    pub(super) fn open(array: impl AsFd) -> io::Result<Self> {
        Self::map(array.as_fd(), libc::PROT_READ)
    }

    fn map(array: impl AsFd, access: libc::c_int) -> io::Result<Self> {
        let info = sys::map_info(&array)?;
        if info.kind != BPF_MAP_TYPE_ARRAY as u32 || info.flags & BPF_F_MMAPABLE == 0 {
            return Err(io::Error::other("it is no array that can be mapped"));
        }
        let words = (info.value_size as usize).div_ceil(WORD);
        let elements = info.max_entries as usize;
        let length = words * elements * WORD;
        let (shared, fd) = (libc::MAP_SHARED, array.as_fd().as_raw_fd());
        // SAFETY: a new mapping of `length` bytes at an address of the kernel's
        // choice; it fails where the array is smaller, rounded up to a page.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, shared, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start,
            elements,
            words,
        })
    }

    /// Elements of the array.
    pub(super) fn len(&self) -> usize {
        self.elements
    }

    /// Reads a word of an element, whole. What was stored before a word that
    /// [`WritableArray::store`] wrote is seen by the reader of that word.
    ///
    /// # Panics
    ///
    /// Panics where the element, or the word in it, is beyond the array.
    pub(super) fn load(&self, element: usize, word: usize) -> u64 {
        let value = self.word(element, word).load(Ordering::Relaxed);
        // Rust promises loads from memory that is mapped to be read only where they
        // are relaxed (`std::sync::atomic`). The fence makes this one an acquire.
        fence(Ordering::Acquire);
        value
    }

    /// The only place where memory becomes counters.
    ///
    /// A number is never seen half written. The kernel aligns values of an array to
    /// 8 bytes and maps it from the start of a page (`kernel/bpf/arraymap.c`), so a
    /// word is aligned. A program writes a counter by one store of 64 bits
    /// (`BPF_STX | BPF_MEM | BPF_DW`), which the just-in-time compilers of 64-bit
    /// machines make one instruction.
    fn word(&self, element: usize, word: usize) -> &AtomicU64 {
        assert!(word < self.words, "word {word} of {}", self.words);
        let length = self.elements * self.words;
        // SAFETY: the mapping begins on a page, has that many words and lives as
        // long as `self`; every pattern of bytes is a number. Other processes and
        // the kernel may write to it, as atomics allow; whole words only.
        let words = unsafe { slice::from_raw_parts(self.start.cast::<AtomicU64>(), length) };
        &words[element * self.words + word]
    }
}

impl Drop for SharedArray {
    fn drop(&mut self) {
        let length = self.words * self.elements * WORD;
        // SAFETY: exactly what was mapped, and no reference into it is left. It
        // fails for no mapping that exists.
        unsafe { libc::munmap(self.start, length) };
    }
}

impl WritableArray {
    /// Maps the whole array, to be read and written.
    pub(super) fn open(array: impl AsFd) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        SharedArray::map(array, access).map(Self)
    }

    /// Elements of the array.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// As [`SharedArray::load`].
    pub(super) fn load(&self, element: usize, word: usize) -> u64 {
        self.0.load(element, word)
    }

    /// Writes a word of an element, after everything that was stored before.
    ///
    /// # Panics
    ///
    /// Panics where the element, or the word in it, is beyond the array.
    pub(super) fn store(&self, element: usize, word: usize, value: u64) {
        self.0.word(element, word).store(value, Ordering::Release);
    }
}

/// Writes `values` to the first elements of an array.
///
/// # Errors
///
/// The array has fewer elements, or they have another size.
pub(super) fn fill<T: Pod>(array: impl AsFd, values: &[T]) -> io::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let array = WritableArray::open(array)?.0;
    if values.len() > array.elements || size_of::<T>().div_ceil(WORD) != array.words {
        return Err(io::Error::other("the array has another size"));
    }
    for (index, value) in values.iter().enumerate() {
        let element = array.start.wrapping_byte_add(index * array.words * WORD);
        // SAFETY: the element lies within the mapping, which may be written, and
        // has room for a `T`: both were compared above. `T` is plain data.
        unsafe { element.cast::<T>().write_unaligned(*value) };
    }
    Ok(())
}

/// A map that is an array of `T` and can be mapped.
pub(super) struct ArrayOf<T>(MapData, PhantomData<T>);

impl<T: Pod> TryFrom<Map> for ArrayOf<T> {
    type Error = MapError;

    fn try_from(map: Map) -> Result<Self, MapError> {
        // Compares the kind of the map and the size of its elements.
        Array::<&MapData, T>::try_from(&map)?;
        match map {
            Map::Array(data) => Ok(Self(data, PhantomData)),
            other => unreachable!("{other:?} was an array"),
        }
    }
}

impl<T: Pod> ArrayOf<T> {
    /// Maps it, to be read.
    pub(super) fn read(&self) -> io::Result<SharedArray> {
        SharedArray::open(self.0.fd())
    }

    /// Maps it, to be read and written.
    pub(super) fn write(&self) -> io::Result<WritableArray> {
        WritableArray::open(self.0.fd())
    }
}
