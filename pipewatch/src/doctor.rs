//! What works on this host, and what is missing.

use std::{collections::BTreeMap, fs, io::Write};

use serde::Serialize;

use crate::{
    bpf::{self, Attached, Mechanism, NotLoaded, Options},
    choice::{self, Told},
    clock,
    ids::Pid,
    privileges::{self, Lack},
    problem::Problem,
    procfs::Tables,
    render::Format,
    source,
};

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub check: &'static str,
    /// Whether it works; `None` if that cannot be told.
    pub ok: Option<bool>,
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
            ok: Some(ok),
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
    let mut checks = vec![kernel(), types(), lockdown(), capabilities(), hooks()];
    let alone = Mechanism::ALL.map(|mechanism| probes(&[mechanism]));
    checks.extend(Mechanism::ALL.into_iter().zip(&alone).map(by));
    let proc = proc();
    let procfs = proc.is_ok();
    checks.push(match proc {
        Ok(found) => Check::new("/proc", true, found),
        Err(problem) => Check::new("/proc", false, problem.message).hinting(problem.hint),
    });
    checks.push(match alone {
        // If the best one does everything, no other is used.
        [Ok(best), ..] => backend(Ok(best), procfs),
        _ => backend(probes(&Mechanism::ALL), procfs),
    });
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
        return Check {
            ok: None,
            ..Check::new(check, true, "cannot be told, securityfs is not mounted")
        };
    };
    match modes.split(['[', ']']).nth(1).unwrap_or("none") {
        mode @ "confidentiality" => Check::new(check, false, mode)
            .hinting("boot with lockdown=integrity: probes cannot read the kernel"),
        mode => Check::new(check, true, mode),
    }
}

/// What this user may do.
fn capabilities() -> Check {
    let check = "capabilities";
    match (privileges::lack(), privileges::lesser_lack()) {
        (
            Some(Lack {
                problem, missing, ..
            }),
            _,
        ) => {
            let missing = format!("missing: {}", missing.join(", "));
            Check::new(check, false, missing).hinting(problem.hint)
        }
        (None, Some(lesser)) => Check::new(check, true, lesser),
        (None, None) => Check::new(check, true, "all that is needed are there"),
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
fn by((mechanism, tried): (Mechanism, &Result<Probes, NotLoaded>)) -> Check {
    let name = mechanism.name();
    match tried {
        Ok(probes) => Check {
            verified: probes.verified.clone(),
            ..Check::new(name, true, &probes.found)
        },
        Err(NotLoaded { problem, cause }) => {
            Check::new(name, false, cause.words().unwrap_or(&problem.message))
        }
    }
}

/// How the host would be seen.
fn backend(tried: Result<Probes, NotLoaded>, procfs: bool) -> Check {
    let Told { works, how, hint } = choice::tell(tried.map(|probes| probes.attached), procfs);
    Check {
        hint,
        ..Check::new("backend", works, how)
    }
}

/// Probes that work.
struct Probes {
    attached: Attached,
    found: String,
    /// What each program was to the verifier.
    verified: BTreeMap<String, u32>,
}

/// Attaches everything and causes an event, which must arrive: a program that
/// is attached does not have to fire.
fn probes(mechanisms: &[Mechanism]) -> Result<Probes, NotLoaded> {
    let own = Pid(std::process::id());
    let options = Options {
        all: false,
        own,
        stacks: false,
        probes: true,
        buffer: 1 << 16,
        verbose: false,
    };
    let mut kernel = source::load(options, mechanisms)?;
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
    let attached = kernel.attached().cloned();
    let attached =
        attached.ok_or_else(|| Problem::new("no probes were asked for", "report this as a bug"))?;
    let found = format!(
        "attaches and reports; {}; {} threads seen{}",
        choice::price(attached.mechanism),
        tasks.len(),
        if init_shown {
            ""
        } else {
            ", process 1 is hidden"
        },
    );
    Ok(Probes {
        attached,
        found,
        verified: kernel.verified(),
    })
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
                let mark = match check.ok {
                    Some(true) => "ok",
                    Some(false) => "no",
                    None => "unknown",
                };
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
    let works = checks.last().is_some_and(|check| check.ok == Some(true));
    let by_probes = checks.iter().any(|check| {
        let mut mechanisms = Mechanism::ALL.iter();
        check.ok == Some(true) && mechanisms.any(|mechanism| mechanism.name() == check.check)
    });
    if matches!(format, Format::Text) {
        let verdict = match (works, by_probes) {
            (true, true) => "pipewatch works here",
            (true, false) => "pipewatch works here, but sees less than with probes",
            (false, _) => "pipewatch does not work here",
        };
        writeln!(out, "{verdict}")?;
    }
    Ok(works)
}
