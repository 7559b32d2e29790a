//! The file system that names the kernel's tracepoints.

use std::{path::Path, thread};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::problem::Problem;

const TRACEFS: &str = "/sys/kernel/tracing";

/// Runs `work` where tracefs is mounted. Hosts without systemd may not have it
/// mounted; then it is, for the thread that does the work and nobody else.
pub(super) fn with_tracefs<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Problem> {
    let mounted = |path: &str| Path::new(path).join("events").is_dir();
    if mounted(TRACEFS) || mounted("/sys/kernel/debug/tracing") {
        return Ok(work());
    }
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            mount_for_this_thread().map_err(|error| {
                Problem::new(
                    format!("tracefs is not mounted on {TRACEFS}, and mounting it failed: {error}"),
                    format!("as root: mount -t tracefs tracefs {TRACEFS}"),
                )
            })?;
            Ok(work())
        });
        // A panic of the work goes on in the caller.
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn mount_for_this_thread() -> rustix::io::Result<()> {
    // SAFETY: unsharing the mount namespace and the working directory concerns
    // this thread alone; no file descriptor or memory changes hands.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS)? };
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )?;
    mount("tracefs", TRACEFS, "tracefs", MountFlags::empty(), None)
}
