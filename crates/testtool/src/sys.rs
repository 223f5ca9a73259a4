//! The one leaf with `unsafe`: signals and mounts through the C library, which the standard library
//! does not offer. Every call passes constants or NUL-terminated strings that live until it
//! returns.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_ulong, c_void};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

unsafe extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
    fn _exit(code: c_int) -> !;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
    fn umount2(target: *const c_char, flags: c_int) -> c_int;
}

const SIGINT: c_int = 2;
const SIGTERM: c_int = 15;
const SIGCHLD: c_int = 17;
const SIG_IGN: usize = 1;
const MNT_DETACH: c_int = 2;

static TERMINATED: AtomicBool = AtomicBool::new(false);

extern "C" fn leave(_: c_int) {
    // SAFETY: _exit may be called from a signal handler.
    unsafe { _exit(0) }
}

extern "C" fn remember(_: c_int) {
    TERMINATED.store(true, Ordering::SeqCst);
}

fn on_term(handler: usize) {
    // SAFETY: the handlers above only exit or store to an atomic.
    unsafe {
        signal(SIGTERM, handler);
        signal(SIGINT, handler);
    }
}

/// From now on SIGTERM ends the process with code 0 (process 1 of a container would otherwise
/// ignore it).
pub(crate) fn exit_on_term() {
    on_term(leave as extern "C" fn(c_int) as usize);
}

/// From now on SIGTERM is only remembered, for [`terminated`].
pub(crate) fn remember_term() {
    on_term(remember as extern "C" fn(c_int) as usize);
}

pub(crate) fn ignore_term() {
    on_term(SIG_IGN);
}

/// Children that end are forgotten at once; without it process 1 would collect zombies.
pub(crate) fn forget_children() {
    // SAFETY: a constant disposition, no handler.
    unsafe {
        signal(SIGCHLD, SIG_IGN);
    }
}

pub(crate) fn terminated() -> bool {
    TERMINATED.load(Ordering::SeqCst)
}

/// Waits until SIGTERM came; needs [`remember_term`] first.
pub(crate) fn wait_for_term() {
    while !terminated() {
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn sleep_for_ever() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn path_text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other)
}

/// Mounts an empty tmpfs of at most 1 MiB on `target`.
pub(crate) fn mount_tmpfs(target: &Path) -> io::Result<()> {
    let target = path_text(target)?;
    let (kind, data) = (c"tmpfs", c"size=1m");
    // SAFETY: all pointers are to NUL-terminated strings that outlive the call.
    let code = unsafe { mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, data.as_ptr().cast()) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn unmount(target: &Path) -> io::Result<()> {
    let target = path_text(target)?;
    // SAFETY: a NUL-terminated string that outlives the call.
    let code = unsafe { umount2(target.as_ptr(), MNT_DETACH) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
