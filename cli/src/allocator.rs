//! [`return_large_buffers`]: what a query no longer needs goes back to the system.

/// Has glibc's allocator give buffers of 4 MiB and more back to the system when they are freed.
///
/// It would raise that bound, up to 32 MiB, with every such buffer that is freed, and keep smaller ones for later: a long scan
/// of large pictures then holds twice of what it needs (`benches/memory.rs`; `mallopt(3)`).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn return_large_buffers() {
    const BYTES: libc::c_int = 4 << 20;
    // SAFETY: the call takes two numbers, and no other thread is there yet.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, BYTES) };
}

/// Other allocators do so by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn return_large_buffers() {}
