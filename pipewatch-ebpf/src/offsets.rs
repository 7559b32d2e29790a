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
    /// unions left out. Bars separate the names it has had.
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
    /// Before 5.14 the name was `state`.
    TASK_STATE = "task_struct" "__state|state";
    TASK_STACK = "task_struct" "stack";
    /// Where the thread pointer points to: of x86_64, of arm64.
    TASK_TLS = "task_struct" "thread.fsbase|thread.uw.tp_value" optional;
    TASK_MM = "task_struct" "mm";
    MM_CODE = "mm_struct" "start_code";
    MM_STACK = "mm_struct" "start_stack";
    SIGNAL_LIVE = "signal_struct" "live";
    FILES_FDT = "files_struct" "fdt";
    FDT_MAX = "fdtable" "max_fds";
    FDT_FD = "fdtable" "fd";
    FDT_CLOEXEC = "fdtable" "close_on_exec";
    FDT_OPEN = "fdtable" "open_fds";
    SLOT_FILE = "kiocb" "ki_filp";
    FILE_INODE = "file" "f_inode";
    FILE_MODE = "file" "f_mode";
    FILE_DENTRY = "file" "f_path.dentry";
    DENTRY_NAME = "dentry" "d_name.name";
    BPRM_FILE = "linux_binprm" "file";
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
}

/// Types that programs tell the kernel an address is of, where it lets them
/// ([`CAST_CALL`]): what they read through it costs a load then, and not a call.
pub mod types {
    /// Names of the structures, in the order of their indexes.
    pub const NAMES: [&str; 6] = [
        "task_struct",
        "fdtable",
        "kiocb",
        "pipe_inode_info",
        "socket",
        "unix_sock",
    ];
    /// Index of a thread.
    pub const TASK: usize = 0;
    /// Index of an fd table.
    pub const FDTABLE: usize = 1;
    /// Index of what begins with a pointer to a file (`ki_filp`), as each slot of an fd
    /// table does, for which the kernel has no name.
    pub const SLOT: usize = 2;
    /// Index of a pipe.
    pub const PIPE: usize = 3;
    /// Index of a socket, as files refer to it.
    pub const SOCKET: usize = 4;
    /// Index of a UNIX socket, as others refer to it.
    pub const UNIX: usize = 5;
}

/// The helper that programs call for `bpf_rdonly_cast` (6.2, `kernel/bpf/helpers.c`),
/// which is no helper and has another number in each kernel: user space writes that in
/// its place. No helper will ever have this one.
pub const CAST_CALL: u32 = 0x6361_7374;

/// How many registers of a system call are read. Each architecture has its own
/// names for them (`arch` of pipewatch); their indexes follow those of the members.
pub const REGISTERS: usize = 7;
/// Index of the register that tells the instruction.
pub const REGS_IP: usize = FIELDS.len();
/// Index of the one that functions keep the address of their frame in, if they do.
pub const REGS_FRAME: usize = REGS_IP + 1;
/// Index of the one with the number of the call.
pub const REGS_NR: usize = REGS_IP + 2;
/// Index of the one with the first argument.
pub const REGS_ARG0: usize = REGS_IP + 3;
/// Index of the one with the second.
pub const REGS_ARG1: usize = REGS_IP + 4;
/// Index of the one with the third.
pub const REGS_ARG2: usize = REGS_IP + 5;
/// Index of the one with the fourth.
pub const REGS_ARG3: usize = REGS_IP + 6;

/// Number of members and registers.
pub const COUNT: usize = FIELDS.len() + REGISTERS;

/// System calls that the programs tell apart.
pub mod syscalls {
    /// Words of a set of them: a bit for each number. A set, since a comparison with
    /// each member would be as many ways through the program, which the verifier of
    /// 6.1 follows apart.
    pub const SET_WORDS: usize = 16;
    /// Index of `execve` in the array of numbers.
    pub const EXECVE: usize = 0;
    /// Index of `execveat`.
    pub const EXECVEAT: usize = 1;
    /// How many numbers there are.
    pub const COUNT: usize = 2;
}
