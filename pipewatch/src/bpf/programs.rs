//! Every program of the object, what it hangs on, and what it is for.

use super::hooks::symbol;

/// How a system call is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// By the type of the call's function; other calls cost nothing more.
    Fentry,
    /// By a breakpoint in the call's function; the same, and a little more for
    /// this one.
    Kprobe,
    /// By its tracepoint, which makes every call of the host take the longer way.
    Tracepoint,
}

impl Mechanism {
    /// The best one first.
    pub const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Tracepoint];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Where a program hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A tracepoint with typed arguments (`tp_btf`).
    Typed(&'static str),
    /// The beginning of a system call, by its name.
    Enter(&'static str),
    /// Its return.
    Exit(&'static str),
    /// An iterator, run on request.
    Iterator(&'static str),
}

impl Hook {
    /// Name of the tracepoint, call or kind of iterator.
    pub fn name(self) -> &'static str {
        match self {
            Self::Typed(name) | Self::Enter(name) | Self::Exit(name) | Self::Iterator(name) => name,
        }
    }
}

/// A program; of a system call, one of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in the object; none for system calls, whose programs are named
    /// after mechanism and call.
    pub name: &'static str,
    /// What it is attached to.
    pub hook: Hook,
    /// What pipewatch would not see without it.
    pub reports: &'static str,
    /// Not every architecture or kernel has the call.
    pub optional: bool,
    /// The arguments that the program relies on, as C declares them, from the
    /// first one on; of a call's function there are no others. An iterator is
    /// given them in a structure, as many machine words as there are.
    pub given: &'static [&'static str],
    /// The first kernel that has the hook in this form.
    pub since: Release,
    /// The last one; `None` if it is in the newest that was tried (7.3).
    pub until: Option<Release>,
}

/// A kernel: the first two numbers of its version.
pub type Release = (u32, u32);

impl Program {
    /// Its name in the object, by one mechanism if it is of a system call.
    pub(super) fn name_by(&self, mechanism: Mechanism) -> String {
        let prefix = match (self.hook, mechanism) {
            (Hook::Typed(_) | Hook::Iterator(_), _) => return self.name.to_owned(),
            (Hook::Enter(_), Mechanism::Fentry) => "fentry",
            (Hook::Exit(_), Mechanism::Fentry) => "fexit",
            (Hook::Enter(_), Mechanism::Kprobe) => "kprobe",
            (Hook::Exit(_), Mechanism::Kprobe) => "kretprobe",
            (Hook::Enter(_), Mechanism::Tracepoint) => "enter",
            (Hook::Exit(_), Mechanism::Tracepoint) => "exit",
        };
        format!("{prefix}_{}", self.hook.name())
    }
}

impl Program {
    const fn given(mut self, arguments: &'static [&'static str]) -> Self {
        self.given = arguments;
        self
    }

    const fn since(mut self, release: Release) -> Self {
        self.since = release;
        self
    }
}

/// Programs at typed tracepoints came with Linux 5.5.
const fn program(name: &'static str, hook: Hook, reports: &'static str) -> Program {
    Program {
        name,
        hook,
        reports,
        optional: false,
        given: &[],
        since: (5, 5),
        until: None,
    }
}

const TASK: &str = "struct task_struct *";
const META: &str = "struct bpf_iter_meta *";

/// Since Linux 4.19 on all architectures, the functions of system calls take
/// the saved registers and nothing else.
pub(super) const fn call(hook: Hook, reports: &'static str) -> Program {
    program("", hook, reports)
        .given(&["struct pt_regs *"])
        .since((4, 19))
}

/// Newer architectures lack these calls.
pub(super) const fn old_call(hook: Hook, reports: &'static str) -> Program {
    Program {
        optional: true,
        ..call(hook, reports)
    }
}

/// Name of the iterator that looks into fd tables by itself.
pub(super) const SEARCH: &str = "iter_asked";

/// All programs.
pub const PROGRAMS: &[Program] = &[
    program(
        "process_fork",
        Hook::Typed("sched_process_fork"),
        "which ends a fork hands on",
    )
    .given(&[TASK, TASK]),
    program(
        "process_exec",
        Hook::Typed("sched_process_exec"),
        "which ends an exec keeps",
    )
    .given(&[TASK, "pid_t"]),
    program(
        "process_exit",
        Hook::Typed("sched_process_exit"),
        "processes that end",
    )
    .given(&[TASK]),
    program(
        "switch",
        Hook::Typed("sched_switch"),
        "reads that go to sleep",
    )
    // 5.18 alone has another one, `prev_state`, before `prev`.
    .given(&["bool", TASK]),
    program("waking", Hook::Typed("sched_waking"), "how a hang ends").given(&[TASK]),
    call(Hook::Enter("close"), "closed descriptors"),
    call(Hook::Exit("pipe2"), "pipes made by pipe2"),
    old_call(Hook::Exit("pipe"), "pipes made by pipe"),
    call(Hook::Exit("socketpair"), "pairs of sockets"),
    call(Hook::Exit("close_range"), "closed ranges").since((5, 9)),
    old_call(Hook::Enter("dup2"), "descriptors replaced by dup2"),
    old_call(Hook::Exit("dup2"), "duplicates by dup2"),
    call(Hook::Enter("dup3"), "descriptors replaced by dup3"),
    call(Hook::Exit("dup3"), "duplicates by dup3"),
    call(Hook::Exit("dup"), "duplicates by dup"),
    call(Hook::Exit("fcntl"), "duplicates and flags by fcntl"),
    call(Hook::Exit("unshare"), "fd tables made private"),
    program(
        "iter_tasks",
        Hook::Iterator("task"),
        "who sleeps in a read now",
    )
    .given(&[META, TASK])
    .since((5, 8)),
    program(
        "iter_pollers",
        Hook::Iterator("task"),
        "who waits for several descriptors now",
    )
    .given(&[META, TASK])
    .since((5, 8)),
    program(
        "iter_ends",
        Hook::Iterator("task_file"),
        "which pipe ends watched processes hold now",
    )
    .given(&[META, TASK, "u32", "struct file *"])
    .since((5, 8)),
    program(
        "iter_ends_asked",
        Hook::Iterator("task_file"),
        "who holds an end of a certain pipe now",
    )
    .given(&[META, TASK, "u32", "struct file *"])
    .since((5, 8)),
    program(SEARCH, Hook::Iterator("task"), "the same, found sooner")
        .given(&[META, TASK])
        .since((6, 2)),
];

/// The names of the types that programs are loaded for, in the kernel's type information.
pub(super) fn types() -> impl Iterator<Item = String> {
    PROGRAMS.iter().map(|program| match program.hook {
        // The function; what it is given has another name.
        Hook::Iterator(kind) => format!("bpf_iter_{kind}"),
        Hook::Typed(_) | Hook::Enter(_) | Hook::Exit(_) => symbol(program.hook),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_names_what_the_object_has() {
        let object = aya_obj::Object::parse(super::super::OBJECT).expect("an eBPF object");
        let has: BTreeSet<String> = object.programs.keys().cloned().collect();
        let by =
            |program: &'static Program| Mechanism::ALL.map(|mechanism| program.name_by(mechanism));
        let told: BTreeSet<String> = PROGRAMS.iter().flat_map(by).collect();
        assert_eq!(has, told);
    }
}
