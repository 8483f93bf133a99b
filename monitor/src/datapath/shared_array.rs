//! Maps an array map into the memory of this process (`BPF_F_MMAPABLE`, Linux 5.5,
//! commit fc9702273e2e), as words of 8 bytes. The kernel may change a word at any
//! time.

use std::{
    io,
    marker::PhantomData,
    mem::size_of,
    ops::Range,
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

/// Size of a word in bytes.
const WORD: usize = size_of::<u64>();

/// A mapped array. Dropping the value unmaps it. Its size comes from the descriptor
/// that is mapped.
pub(super) struct SharedArray {
    start: *mut libc::c_void,
    elements: usize,
    /// Words of an element: the kernel rounds elements of an array up to 8 bytes
    /// (`kernel/bpf/arraymap.c`).
    words: usize,
}

/// A mapped array that can also be written.
pub(super) struct WritableArray(SharedArray);

impl SharedArray {
    /// Maps the whole array for reading.
    pub(super) fn open(array: impl AsFd) -> io::Result<Self> {
        Self::map(array.as_fd(), libc::PROT_READ, None)
    }

    /// Maps the elements in `range`, which must begin on a page, or all elements.
    fn map(array: impl AsFd, access: libc::c_int, range: Option<Range<usize>>) -> io::Result<Self> {
        let info = sys::map_info(&array)?;
        if info.kind != BPF_MAP_TYPE_ARRAY as u32 || info.flags & BPF_F_MMAPABLE == 0 {
            return Err(io::Error::other("it is not an array that can be mapped"));
        }
        let words = (info.value_size as usize).div_ceil(WORD);
        let all = info.max_entries as usize;
        let range = range.unwrap_or(0..all);
        if range.end > all {
            return Err(io::Error::other("the array has fewer elements"));
        }
        let elements = range.len();
        let length = words * elements * WORD;
        let offset = libc::off_t::try_from(words * range.start * WORD).map_err(io::Error::other)?;
        let (shared, fd) = (libc::MAP_SHARED, array.as_fd().as_raw_fd());
        // SAFETY: makes a new mapping of `length` bytes at an address that the
        // kernel chooses. The call fails if the array, rounded up to a page, is
        // smaller.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, shared, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start,
            elements,
            words,
        })
    }

    /// Number of elements of the array.
    pub(super) fn len(&self) -> usize {
        self.elements
    }

    /// Reads a word of an element by one load. A thread that reads a word written
    /// by [`WritableArray::store`] also sees everything stored before that word.
    ///
    /// # Panics
    ///
    /// Panics if the element, or the word in it, is beyond the array.
    pub(super) fn load(&self, element: usize, word: usize) -> u64 {
        let value = self.word(element, word).load(Ordering::Relaxed);
        // For memory that is mapped for reading only, Rust guarantees relaxed loads
        // and no others (`std::sync::atomic`). The fence gives this load acquire
        // ordering.
        fence(Ordering::Acquire);
        value
    }

    /// Returns a word of an element. Only here does mapped memory become counters.
    ///
    /// A reader never sees half of a number. The kernel aligns values of an array
    /// to 8 bytes and maps the array from the start of a page
    /// (`kernel/bpf/arraymap.c`), so every word is aligned. A program writes a
    /// counter by one store of 64 bits (`BPF_STX | BPF_MEM | BPF_DW`). The
    /// just-in-time compilers of 64-bit machines translate it to one instruction.
    fn word(&self, element: usize, word: usize) -> &AtomicU64 {
        assert!(word < self.words, "word {word} of {}", self.words);
        let length = self.elements * self.words;
        // SAFETY: the mapping begins on a page, has `length` words and lives as
        // long as `self`. Every byte pattern is a valid number. Other processes and
        // the kernel write only whole words, as atomics allow.
        let words = unsafe { slice::from_raw_parts(self.start.cast::<AtomicU64>(), length) };
        &words[element * self.words + word]
    }
}

impl Drop for SharedArray {
    fn drop(&mut self) {
        let length = self.words * self.elements * WORD;
        // SAFETY: unmaps exactly the range that was mapped, and no reference into
        // it is left. The call cannot fail for an existing mapping.
        unsafe { libc::munmap(self.start, length) };
    }
}

impl WritableArray {
    /// Maps the whole array for reading and writing.
    pub(super) fn open(array: impl AsFd) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        SharedArray::map(array, access, None).map(Self)
    }

    /// Number of elements of the array.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Same as [`SharedArray::load`].
    pub(super) fn load(&self, element: usize, word: usize) -> u64 {
        self.0.load(element, word)
    }

    /// Writes a word of an element, after everything that this thread stored
    /// before.
    ///
    /// # Panics
    ///
    /// Panics if the element, or the word in it, is beyond the array.
    pub(super) fn store(&self, element: usize, word: usize, value: u64) {
        self.0.word(element, word).store(value, Ordering::Release);
    }
}

/// Writes `values` to the first elements of an array.
///
/// # Errors
///
/// Returns an error if the array has fewer elements, or elements of another size.
pub(super) fn fill<T: Pod>(array: impl AsFd, values: &[T]) -> io::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let array = WritableArray::open(array)?.0;
    if values.len() > array.elements || size_of::<T>().div_ceil(WORD) != array.words {
        return Err(io::Error::other("array length or element size differs"));
    }
    for (index, value) in values.iter().enumerate() {
        let element = array.start.wrapping_byte_add(index * array.words * WORD);
        // SAFETY: the element lies within the writable mapping and has room for a
        // `T`; both were checked above. `T` is plain data.
        unsafe { element.cast::<T>().write_unaligned(*value) };
    }
    Ok(())
}

/// An array map with elements of type `T` that can be mapped.
pub(super) struct ArrayOf<T>(MapData, PhantomData<T>);

impl<T: Pod> TryFrom<Map> for ArrayOf<T> {
    type Error = MapError;

    fn try_from(map: Map) -> Result<Self, MapError> {
        // Checks the kind of the map and the size of its elements.
        Array::<&MapData, T>::try_from(&map)?;
        match map {
            Map::Array(data) => Ok(Self(data, PhantomData)),
            other => unreachable!("{other:?} was an array"),
        }
    }
}

impl<T: Pod> ArrayOf<T> {
    /// Maps the array for reading.
    pub(super) fn read(&self) -> io::Result<SharedArray> {
        SharedArray::open(self.0.fd())
    }

    /// Maps the array for reading and writing.
    pub(super) fn write(&self) -> io::Result<WritableArray> {
        WritableArray::open(self.0.fd())
    }

    /// Number of elements of the array.
    pub(super) fn len(&self) -> io::Result<usize> {
        Ok(sys::map_info(self.0.fd())?.max_entries as usize)
    }

    /// Maps `elements` elements from `first` on, which must begin on a page, for reading.
    pub(super) fn read_part(&self, first: usize, elements: usize) -> io::Result<SharedArray> {
        let range = first..first + elements;
        SharedArray::map(self.0.fd(), libc::PROT_READ, Some(range))
    }

    /// As [`Self::read_part`], for reading and writing.
    pub(super) fn write_part(&self, first: usize, elements: usize) -> io::Result<WritableArray> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let range = first..first + elements;
        SharedArray::map(self.0.fd(), access, Some(range)).map(WritableArray)
    }
}
