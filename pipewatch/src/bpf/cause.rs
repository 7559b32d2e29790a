//! Why probes cannot be had, as far as that decides what is done instead.

use std::{error::Error, io};

use aya::{BtfError, programs::ProgramError};

/// Why probes, or those of one mechanism, do not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This user may not load any program.
    Privileges,
    /// This user was given some of what it takes, and not all.
    Incomplete,
    /// The ids that programs tell are not those that are known here.
    Namespace,
    /// The kernel has no type information, or it cannot be read.
    NoTypes,
    /// The kernel lacks a function that the programs call.
    TooOld,
    /// `lockdown=confidentiality`: the helpers that read the kernel's memory are
    /// withheld (`bpf_base_func_proto`), and it is the verifier that says so.
    Lockdown,
    /// The kernel takes no program of this kind.
    Forbidden,
    /// The program loads, and cannot be attached: arm64 before 6.4 does that
    /// to fentry.
    Unsupported,
    /// The hook does not exist.
    Absent,
    /// Anything else, such as a program that the verifier refuses.
    Unexpected,
}

/// `ENOTSUPP` of `include/linux/errno.h`, which was never meant to leave the
/// kernel: libc has no name for it.
const ENOTSUPP: i32 = 524;

impl Cause {
    /// Why a program was not loaded or attached.
    pub(super) fn of(error: &ProgramError) -> Self {
        if let ProgramError::LoadError {
            io_error,
            verifier_log,
        } = error
        {
            let log = verifier_log.to_string();
            return match io_error.raw_os_error() {
                _ if lacks_reads(&log) => Self::Lockdown,
                // EACCES is the verifier's, and nothing to be permitted.
                Some(libc::EPERM) => Self::Forbidden,
                _ => Self::Unexpected,
            };
        }
        if let ProgramError::Btf(BtfError::UnknownBtfTypeName { .. }) = error {
            return Self::Absent;
        }
        match errno(error.source()) {
            Some(ENOTSUPP) => Self::Unsupported,
            Some(libc::ENOENT) => Self::Absent,
            Some(libc::EPERM) => Self::Forbidden,
            _ => Self::Unexpected,
        }
    }

    /// The same in a few words, where these say it all.
    pub fn words(self) -> Option<&'static str> {
        match self {
            Self::Privileges | Self::NoTypes | Self::TooOld | Self::Unexpected => None,
            Self::Incomplete => Some("not permitted: capabilities are missing"),
            Self::Namespace => Some("not in a pid namespace: probes tell the host's process ids"),
            Self::Lockdown => {
                Some("the kernel is locked down (confidentiality): probes may not read its memory")
            }
            Self::Forbidden => Some("not permitted: this kernel takes no program of this kind"),
            Self::Unsupported => {
                Some("not supported: this kernel takes the program, and cannot attach it")
            }
            Self::Absent => Some("not in this kernel"),
        }
    }

    /// Whether this is how the host is meant to be, so that a user is helped by
    /// what works without probes; else they are told that something is wrong.
    pub fn is_meant(self) -> bool {
        matches!(
            self,
            Self::Privileges | Self::Namespace | Self::TooOld | Self::Lockdown
        )
    }
}

fn errno(mut cause: Option<&(dyn Error + 'static)>) -> Option<i32> {
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.raw_os_error();
        }
        cause = error.source();
    }
    None
}

/// Whether the verifier does not know the helpers that read the kernel's
/// memory, which all kernels that run typed programs have (5.5). Its words
/// changed in 6.12, and where the newer helper is missing aya tries the older.
fn lacks_reads(log: &str) -> bool {
    log.contains("unknown func bpf_probe_read") || log.contains("cannot use helper bpf_probe_read")
}

#[cfg(test)]
mod tests {
    use aya::{
        programs::{kprobe::KProbeError, trace_point::TracePointError},
        sys::SyscallError,
    };
    use aya_obj::VerifierLog;

    use super::*;

    fn refused(errno: i32, log: &str) -> ProgramError {
        ProgramError::LoadError {
            io_error: io::Error::from_raw_os_error(errno),
            verifier_log: VerifierLog::new(log.to_owned()),
        }
    }

    fn not_attached(errno: i32) -> ProgramError {
        ProgramError::SyscallError(SyscallError {
            call: "bpf_raw_tracepoint_open",
            io_error: io::Error::from_raw_os_error(errno),
        })
    }

    #[test]
    fn each_refusal_seen_so_far_is_told_apart() {
        let missing = || io::Error::from_raw_os_error(libc::ENOENT);
        let no_kprobes = ProgramError::KProbeError(KProbeError::FileError {
            filename: "/sys/bus/event_source/devices/kprobe/type".into(),
            io_error: missing(),
        });
        let no_tracepoint = ProgramError::TracePointError(TracePointError::FileError {
            filename: "/sys/kernel/tracing/events/syscalls/sys_exit_dup2/id".into(),
            io_error: missing(),
        });
        let no_function = ProgramError::Btf(BtfError::UnknownBtfTypeName {
            type_name: "__x64_sys_dup2".into(),
        });
        // Linux 6.12 and 6.1 in confidentiality; 6.18 with trampolines forbidden;
        // arm64 6.1; and a program that is wrong.
        let helper = "program of this type cannot use helper bpf_probe_read#4";
        let stack = "combined stack size of 4 calls is 608. Too large";
        let expectations = [
            (refused(libc::EINVAL, helper), Cause::Lockdown),
            (
                refused(libc::EINVAL, "unknown func bpf_probe_read#4"),
                Cause::Lockdown,
            ),
            (refused(libc::EPERM, ""), Cause::Forbidden),
            (refused(libc::EACCES, stack), Cause::Unexpected),
            (not_attached(ENOTSUPP), Cause::Unsupported),
            (not_attached(libc::EPERM), Cause::Forbidden),
            (not_attached(libc::EBUSY), Cause::Unexpected),
            (no_kprobes, Cause::Absent),
            (no_tracepoint, Cause::Absent),
            (no_function, Cause::Absent),
        ];
        for (error, cause) in expectations {
            assert_eq!(Cause::of(&error), cause, "{error}");
        }
    }
}
