//! [`return_large_buffers`]: returns freed memory to the operating system.

/// Makes glibc's allocator return buffers of 4 MiB and more to the system when they are freed.
///
/// By default glibc raises this threshold to the size of each such buffer that is freed, up to 32 MiB, and caches smaller ones: a long
/// scan of large images then holds twice the memory it needs (`benches/memory.rs`; `mallopt(3)`).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn return_large_buffers() {
    const BYTES: libc::c_int = 4 << 20;
    // SAFETY: the call takes two integers, and no other thread has been started.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, BYTES) };
}

/// Other allocators return large buffers by default.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn return_large_buffers() {}
