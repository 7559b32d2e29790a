//! What works on this host, and what is missing.

use std::{collections::BTreeMap, fs, io::Write};

use serde::Serialize;

use crate::{
    bpf::{self, Kernel, Mechanism, NotLoaded, Options},
    choice::{self, Told},
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
    /// Of a mechanism, how many instructions of each program the verifier went
    /// through; only where the kernel tells, and for programs to read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub verified: BTreeMap<String, u32>,
}

impl Check {
    fn new(check: &'static str, ok: bool, found: impl Into<String>) -> Self {
        Self {
            check,
            ok,
            found: found.into(),
            hint: None,
            verified: BTreeMap::new(),
        }
    }

    fn hinting(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Tries everything that pipewatch needs. The last check is of how it would
/// see the host.
pub fn examine() -> Vec<Check> {
    let mut checks = vec![kernel(), types(), lockdown(), hooks()];
    checks.extend(Mechanism::ALL.map(by));
    let proc = proc();
    let procfs = proc.is_ok();
    checks.push(match proc {
        Ok(found) => Check::new("/proc", true, found),
        Err(problem) => Check::new("/proc", false, problem.message).hinting(problem.hint),
    });
    checks.push(backend(procfs));
    checks
}

fn kernel() -> Check {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let found = format!("Linux {} {}", text(name.release()), text(name.machine()));
    Check::new("kernel", true, found)
}

fn types() -> Check {
    let (check, path) = ("type information", "/sys/kernel/btf/vmlinux");
    match fs::metadata(path) {
        Ok(_) => Check::new(check, true, path),
        Err(error) => Check::new(check, false, format!("{path}: {error}"))
            .hinting("needs CONFIG_DEBUG_INFO_BTF=y"),
    }
}

/// Confidentiality forbids programs to read kernel memory.
fn lockdown() -> Check {
    let check = "lockdown";
    let Ok(modes) = fs::read_to_string("/sys/kernel/security/lockdown") else {
        let found = "cannot be told, securityfs is not mounted";
        return Check::new(check, true, found);
    };
    match modes.split(['[', ']']).nth(1).unwrap_or("none") {
        mode @ "confidentiality" => Check::new(check, false, mode)
            .hinting("boot with lockdown=integrity: probes cannot read the kernel"),
        mode => Check::new(check, true, mode),
    }
}

/// Whether the kernel has what the programs were written for.
fn hooks() -> Check {
    let check = "hooks";
    match bpf::drifted().as_deref() {
        Ok([]) => Check::new(check, true, "all are as pipewatch knows them"),
        Ok(drifted) => Check::new(check, false, drifted.join("; ")).hinting(
            "probes may fail or mislead here: look for a newer pipewatch, and report this",
        ),
        Err(_) => Check::new(check, false, "cannot be told without type information"),
    }
}

/// One mechanism, by itself. What is to be done is told of the backend.
fn by(mechanism: Mechanism) -> Check {
    match probes(mechanism) {
        Ok((found, verified)) => Check {
            verified,
            ..Check::new(mechanism.name(), true, found)
        },
        Err(refused) => {
            let words = refused.cause.words().map(str::to_owned);
            let found = words.unwrap_or(refused.problem.message);
            Check::new(mechanism.name(), false, found)
        }
    }
}

/// How the host would be seen, found out by attaching everything.
fn backend(procfs: bool) -> Check {
    let loaded = Kernel::load(options(), &Mechanism::ALL);
    let attached = match &loaded {
        Ok(kernel) => kernel
            .attached()
            .ok_or_else(|| Problem::new("nothing was attached", "report this as a bug").into()),
        Err(refused) => Err(refused.clone()),
    };
    let Told { works, how, hint } = choice::tell(attached, procfs);
    Check {
        hint,
        ..Check::new("backend", works, how)
    }
}

/// What probes are tried with.
fn options() -> Options {
    Options {
        all: false,
        own: Pid(std::process::id()),
        stacks: false,
        probes: true,
        buffer: 1 << 16,
        verbose: false,
    }
}

/// Attaches everything and causes an event, which must arrive: a program that
/// is attached does not have to fire. Tells what each program was to the verifier.
fn probes(mechanism: Mechanism) -> Result<(String, BTreeMap<String, u32>), NotLoaded> {
    let options = options();
    let own = options.own;
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
    let found = format!(
        "attaches and reports; {}; {} threads seen{}",
        choice::price(mechanism),
        tasks.len(),
        if init_shown {
            ""
        } else {
            ", process 1 is hidden"
        },
    );
    Ok((found, kernel.verified()))
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
