//! What works on this host, and what is missing.

use std::{fs, io::Write};

use serde::Serialize;

use crate::{
    bpf::{Kernel, Mechanism, NotLoaded, Options},
    clock,
    ids::Pid,
    problem::Problem,
    procfs::Tables,
    render::Format,
};

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub check: &'static str,
    /// Whether it works.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do if it does not work.
    pub hint: Option<String>,
}

/// Tries everything that pipewatch needs. The last check is of how it would
/// see the host.
pub fn examine() -> Vec<Check> {
    let tried_all = Mechanism::ALL.map(|mechanism| (mechanism, probes(mechanism)));
    let proc = proc();
    let backend = backend(&tried_all, proc.is_ok());
    let mut checks = vec![
        kernel(),
        file(
            "type information",
            "/sys/kernel/btf/vmlinux",
            "needs CONFIG_DEBUG_INFO_BTF=y",
        ),
        lockdown(),
    ];
    for (mechanism, result) in tried_all {
        let mut check = tried(mechanism.name(), result.map_err(|refused| refused.problem));
        if backend.ok {
            // What is to be done is told there.
            check.hint = None;
        }
        checks.push(check);
    }
    checks.push(tried("/proc", proc));
    checks.push(backend);
    checks
}

fn tried(check: &'static str, result: Result<String, Problem>) -> Check {
    let ok = result.is_ok();
    let (found, hint) = match result {
        Ok(found) => (found, None),
        Err(problem) => (problem.message, Some(problem.hint)),
    };
    Check {
        check,
        ok,
        found,
        hint,
    }
}

type Tried = (Mechanism, Result<String, NotLoaded>);

fn backend(tried: &[Tried], proc: bool) -> Check {
    let lost = "how holders came by their ends is not seen, nor reads of sockets and by io_uring";
    let best = tried.iter().find(|(_, result)| result.is_ok());
    let unfit = |(_, result): &Tried| result.as_ref().is_err_and(|refused| refused.unfit);
    let (ok, found, hint) = match (best, proc) {
        (Some((mechanism, _)), _) => (true, mechanism.name().to_owned(), None),
        (None, true) if tried.iter().all(unfit) => (
            true,
            format!("procfs, for probes cannot be had: {lost}"),
            Some("probes need root (sudo) and Linux 5.8 or later"),
        ),
        (None, true) => (
            true,
            format!("procfs, if asked for: {lost}"),
            Some("use --backend procfs until the probes work"),
        ),
        (None, false) => (false, "none".to_owned(), None),
    };
    Check {
        check: "backend",
        ok,
        found,
        hint: hint.map(str::to_owned),
    }
}

fn kernel() -> Check {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let found = format!("Linux {} {}", text(name.release()), text(name.machine()));
    Check {
        check: "kernel",
        ok: true,
        found,
        hint: None,
    }
}

fn file(check: &'static str, path: &str, hint: &str) -> Check {
    match fs::metadata(path) {
        Ok(_) => Check {
            check,
            ok: true,
            found: path.to_owned(),
            hint: None,
        },
        Err(error) => Check {
            check,
            ok: false,
            found: format!("{path}: {error}"),
            hint: Some(hint.to_owned()),
        },
    }
}

/// Confidentiality forbids programs to read kernel memory.
fn lockdown() -> Check {
    let check = "lockdown";
    let Ok(modes) = fs::read_to_string("/sys/kernel/security/lockdown") else {
        return Check {
            check,
            ok: true,
            found: "cannot be told, securityfs is not mounted".to_owned(),
            hint: None,
        };
    };
    let mode = modes.split(['[', ']']).nth(1).unwrap_or("none").to_owned();
    let ok = mode != "confidentiality";
    let hint =
        (!ok).then(|| "boot with lockdown=integrity: probes cannot read the kernel".to_owned());
    Check {
        check,
        ok,
        found: mode,
        hint,
    }
}

/// Attaches everything and causes an event, which must arrive: a program that
/// is attached does not have to fire.
fn probes(mechanism: Mechanism) -> Result<String, NotLoaded> {
    let own = Pid(std::process::id());
    let options = Options {
        all: false,
        own,
        stacks: false,
        probes: true,
        buffer: 1 << 16,
        verbose: false,
    };
    let mut kernel = Kernel::load(options, &[mechanism])?;
    kernel.watch(own, 0)?;
    let made = rustix::pipe::pipe();
    kernel.unwatch(own);
    let silent = |what: &str| {
        Problem::new(
            format!("{what}, and the probes did not report it"),
            "report this with the output of `uname -a`",
        )
    };
    drop(made.map_err(|error| {
        Problem::new(
            format!("cannot make a pipe: {error}"),
            "is the limit of open files reached?",
        )
    })?);
    let events = kernel.counters().events;
    if events == 0 {
        return Err(silent("a pipe was made").into());
    }
    let tasks = kernel.tasks()?;
    if !tasks.iter().any(|row| row.actor.process.pid == own) {
        return Err(silent("this process runs").into());
    }
    let init_shown = tasks.iter().any(|row| row.actor.process.pid == Pid(1));
    Ok(format!(
        "attaches and reports; {}; {} threads seen{}",
        match mechanism {
            Mechanism::Fentry | Mechanism::Kprobe => "other system calls cost nothing more",
            Mechanism::Tracepoint => {
                "each system call of the host takes about 60 ns more while pipewatch runs"
            }
        },
        tasks.len(),
        if init_shown {
            ""
        } else {
            ", process 1 is hidden"
        },
    ))
}

/// Looks at every process.
fn proc() -> Result<String, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::new(
            format!("cannot look into /proc: {error}"),
            "is it mounted? (mount -t proc proc /proc)",
        )
    };
    let mut tables = Tables::new(true, Pid(std::process::id())).map_err(unreadable)?;
    let tasks = tables.tasks(clock::now()).map_err(unreadable)?;
    let hidden = tables.hidden();
    let calls = if tables.are_calls_hidden() {
        "; calls are hidden (kernel.yama.ptrace_scope)"
    } else {
        ""
    };
    Ok(format!(
        "{} threads seen; processes that may not be looked into: {hidden}{calls}",
        tasks.len()
    ))
}

/// Where what was found begins.
const INDENT: &str = "                           ";
/// Fewer columns than this are taken for this many.
const NARROWEST: usize = 48;

/// Prints the checks, in lines of `width` columns, and whether pipewatch works here; tells that, too.
///
/// # Errors
///
/// `out` cannot be written.
pub fn print(
    checks: &[Check],
    format: Format,
    width: usize,
    out: &mut dyn Write,
) -> std::io::Result<bool> {
    for check in checks {
        match format {
            Format::Json => writeln!(out, "{}", serde_json::to_string(check)?)?,
            Format::Text => {
                let mark = if check.ok { "ok" } else { "no" };
                let told = textwrap::Options::new(width.max(NARROWEST)).subsequent_indent(INDENT);
                let row = format!("{:<17} {mark:<8} {}", check.check, check.found);
                writeln!(out, "{}", textwrap::fill(&row, &told))?;
                if let Some(hint) = &check.hint {
                    let told = told.initial_indent(INDENT);
                    writeln!(out, "{}", textwrap::fill(&format!("hint: {hint}"), told))?;
                }
            }
        }
    }
    let works = checks.last().is_some_and(|check| check.ok);
    if matches!(format, Format::Text) {
        let verdict = if works {
            "pipewatch works here"
        } else {
            "pipewatch does not work here"
        };
        writeln!(out, "{verdict}")?;
    }
    Ok(works)
}
