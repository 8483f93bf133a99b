//! How the memory allocator treats freed memory.

/// Makes the allocator return the memory of large blocks to the system when they are freed.
/// A load of policies needs several such blocks for a moment, and the daemon then runs for
/// months without them. Call it before the first thread starts.
///
/// The GNU allocator otherwise raises its limit for "large" to the size of the largest freed
/// block, up to 32 MiB. It then keeps freed blocks below that limit for itself. Other
/// allocators have a fixed limit, so the function does nothing for them.
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    {
        /// Blocks of this size or more are mapped one by one, in bytes.
        const LARGE: libc::c_int = 128 << 10;
        /// The most heaps that threads share. Each keeps some freed memory.
        const HEAPS: libc::c_int = 2;
        // SAFETY: the function takes two numbers and changes only the allocator, which
        // allows that at any time.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_ARENA_MAX, HEAPS);
        }
    }
}
