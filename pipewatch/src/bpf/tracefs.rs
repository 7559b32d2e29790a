//! The file system that names the kernel's tracepoints.

use std::{fs, io, thread};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::problem::Problem;

const TRACEFS: &str = "/sys/kernel/tracing";

/// Runs `work` where tracefs is mounted. Hosts without systemd may not have it
/// mounted; then it is, for the thread that does the work and nobody else.
pub(super) fn with_tracefs<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Problem> {
    if is_there(TRACEFS)? || is_there("/sys/kernel/debug/tracing")? {
        return Ok(work());
    }
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            mount_for_this_thread().map_err(|error| {
                Problem::new(
                    format!("tracefs is not mounted on {TRACEFS}, and mounting it failed: {error}"),
                    format!(
                        "that needs CAP_SYS_ADMIN; or, as root: mount -t tracefs tracefs {TRACEFS}"
                    ),
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

/// Whether tracefs is mounted at this path.
fn is_there(path: &str) -> Result<bool, Problem> {
    match fs::metadata(format!("{path}/events")) {
        Ok(events) => Ok(events.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Problem::new(
            format!("cannot look into {path}: {error}"),
            "that needs CAP_DAC_READ_SEARCH, or root",
        )),
        Err(_) => Ok(false),
    }
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
