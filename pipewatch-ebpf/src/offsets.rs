//! Which members of kernel structures the programs read.
//!
//! rustc emits no CO-RE relocations, so the programs take every offset from one
//! read-only array that user space fills from the running kernel's BTF before
//! loading. The array is frozen then: the verifier sees constants, and code
//! behind an [`ABSENT`] member is pruned.

/// Value of a member that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// A member of a kernel structure, as BTF names it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name of the structure.
    pub structure: &'static str,
    /// Path of the member: names joined by dots, anonymous structures and
    /// unions left out.
    pub path: &'static str,
    /// Whether the programs can do without it.
    pub optional: bool,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $structure:literal $path:literal $($optional:ident)?;)*) => {
        #[repr(usize)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "only numbers the constants below")]
        enum Index { $($name),* }
        $(
            $(#[$doc])*
            #[doc = concat!("Index of `", $structure, ".", $path, "`.")]
            pub const $name: usize = Index::$name as usize;
        )*
        /// Every member, in the order of the indexes.
        pub const FIELDS: &[Field] = &[$(Field {
            structure: $structure,
            path: $path,
            optional: fields!(@optional $($optional)?),
        }),*];
    };
    (@optional) => { false };
    (@optional optional) => { true };
}

fields! {
    TASK_TGID = "task_struct" "tgid";
    TASK_PID = "task_struct" "pid";
    TASK_COMM = "task_struct" "comm";
    TASK_FLAGS = "task_struct" "flags";
    TASK_FILES = "task_struct" "files";
    TASK_LEADER = "task_struct" "group_leader";
    TASK_PARENT = "task_struct" "real_parent";
    TASK_START = "task_struct" "start_boottime";
    TASK_SIGNAL = "task_struct" "signal";
    TASK_NVCSW = "task_struct" "nvcsw";
    TASK_ARRIVAL = "task_struct" "sched_info.last_arrival";
    /// 5.14 and later.
    TASK_STATE = "task_struct" "__state" optional;
    /// Before 5.14.
    TASK_STATE_OLD = "task_struct" "state" optional;
    SIGNAL_LIVE = "signal_struct" "live";
    FILES_FDT = "files_struct" "fdt";
    FDT_MAX = "fdtable" "max_fds";
    FDT_FD = "fdtable" "fd";
    FDT_CLOEXEC = "fdtable" "close_on_exec";
    FDT_OPEN = "fdtable" "open_fds";
    FILE_INODE = "file" "f_inode";
    FILE_MODE = "file" "f_mode";
    INODE_MODE = "inode" "i_mode";
    INODE_SB = "inode" "i_sb";
    INODE_INO = "inode" "i_ino";
    INODE_PIPE = "inode" "i_pipe";
    SB_DEV = "super_block" "s_dev";
    SB_MAGIC = "super_block" "s_magic";
    PIPE_HEAD = "pipe_inode_info" "head";
    PIPE_TAIL = "pipe_inode_info" "tail";
    PIPE_READERS = "pipe_inode_info" "readers";
    PIPE_WRITERS = "pipe_inode_info" "writers";
    PIPE_RD_WAIT = "pipe_inode_info" "rd_wait.head";
    WAIT_ENTRY = "wait_queue_entry" "entry";
    WAIT_PRIVATE = "wait_queue_entry" "private";
    /// Absent without CONFIG_IO_URING, as are the other three.
    REQUEST_FILE = "io_kiocb" "file" optional;
    /// Up to 6.12 or so.
    REQUEST_TASK = "io_kiocb" "task" optional;
    /// Since then.
    REQUEST_CONTEXT = "io_kiocb" "tctx" optional;
    CONTEXT_TASK = "io_uring_task" "task" optional;
    FILE_PRIVATE = "file" "private_data";
    SOCKET_TYPE = "socket" "type";
    SOCKET_SK = "socket" "sk";
    SOCKET_INODE = "socket_alloc" "vfs_inode";
    SOCK_FAMILY = "sock" "__sk_common.skc_family";
    SOCK_SHUTDOWN = "sock" "sk_shutdown";
    SOCK_QUEUE = "sock" "sk_receive_queue.qlen";
    SOCK_SOCKET = "sock" "sk_socket";
    /// Absent if UNIX sockets are a module.
    UNIX_PEER = "unix_sock" "peer" optional;
    /// As above.
    UNIX_ADDRESS = "unix_sock" "addr" optional;
    REGS_IP = "pt_regs" "ip";
    REGS_NR = "pt_regs" "orig_ax";
    REGS_ARG0 = "pt_regs" "di";
    REGS_ARG1 = "pt_regs" "si";
    REGS_ARG2 = "pt_regs" "dx";
    REGS_ARG3 = "pt_regs" "r10";
}

/// Number of members.
pub const COUNT: usize = FIELDS.len();

/// System calls that the programs tell apart, as indexes into the array of
/// their numbers, which user space fills for its own architecture.
pub mod syscalls {
    /// `read`.
    pub const READ: usize = 0;
    /// `readv`.
    pub const READV: usize = 1;
    /// `preadv2`, which reads a pipe if it is given no offset.
    pub const PREADV2: usize = 2;
    /// `recvfrom`.
    pub const RECVFROM: usize = 3;
    /// `recvmsg`.
    pub const RECVMSG: usize = 4;
    /// `recvmmsg`.
    pub const RECVMMSG: usize = 5;
    /// `splice`.
    pub const SPLICE: usize = 6;
    /// `tee`.
    pub const TEE: usize = 7;
    /// How many calls there are that sleep in a read of their first argument;
    /// their indexes come first.
    pub const READS: usize = 8;
    /// `execve`.
    pub const EXECVE: usize = 8;
    /// `execveat`.
    pub const EXECVEAT: usize = 9;
    /// How many there are.
    pub const COUNT: usize = 10;
}
