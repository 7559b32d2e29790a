//! The program: runs what the command line asks for, prints what went wrong,
//! sets the exit status.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use pipewatch::{
    allocator,
    cli::{self, Backend, Cli, Command, Format, HtmlArg, Parsed, Stacks},
    demo, doctor,
    driver::{self, Ended},
    exporter::Exporter,
    ids::{Fd, Pid},
    output::{self, Output, say},
    plan::{Plan, Target},
    privileges,
    problem::{Problem, chain},
    procfs,
    release::{self, Request},
    replay::{self, Notes},
    screen::Screen,
    signals,
    trace_file::Trace,
};
use rustix::process::geteuid;

/// Usage or set-up error.
const FAILURE: u8 = 2;
/// pipewatch's own failure, when the exit status is the command's.
const OWN_FAILURE: u8 = 125;

fn main() -> ExitCode {
    allocator::return_what_is_large();
    let cli = match cli::parse(std::env::args_os()) {
        Ok(Parsed::Do(cli)) => cli,
        Ok(Parsed::Print(text)) => {
            // Nobody may be reading it.
            let _ = text.print();
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Usage(usage)) => {
            say(usage);
            return ExitCode::from(FAILURE);
        }
        Err(problem) => {
            complain(&problem.into());
            return ExitCode::from(FAILURE);
        }
    };
    let failure = if cli.watch.run.is_empty() {
        FAILURE
    } else {
        OWN_FAILURE
    };
    ExitCode::from(run(*cli).unwrap_or_else(|error| {
        complain(&error);
        failure
    }))
}

/// The error and all its causes on one line, and what to do.
fn complain(error: &anyhow::Error) {
    let problem = error.downcast_ref::<Problem>();
    let hint = problem.map_or("report this as a bug", |problem| &problem.hint);
    say(format_args!(
        "error: {}\nhint: {hint}",
        chain(error.as_ref())
    ));
}

fn run(cli: Cli) -> Result<u8> {
    privileges::refuse_set_id()?;
    match cli.command {
        Some(Command::Enact) => {
            demo::enact()?;
            Ok(0)
        }
        Some(Command::Doctor(format)) => run_doctor(format.format),
        Some(Command::Demo { format, html }) => run_demo(format.format, &html),
        Some(Command::Snapshot {
            pids,
            verbose,
            backend,
            format,
            html,
            ..
        }) => {
            let output = output(None, format.format, &html)?;
            run_snapshot(&pids, verbose, backend.backend, output)
        }
        Some(Command::Release {
            pid,
            fd,
            yes,
            force,
            backend,
            format,
        }) => {
            let went_on = release::release(&Request {
                pid: process(pid)?,
                fd: Fd(fd),
                force,
                yes,
                backend: backend.backend.into(),
                format: format.format.into(),
            })?;
            Ok(u8::from(!went_on))
        }
        Some(Command::Top {
            pids,
            threshold,
            backend,
            ..
        }) => run_top(&pids, threshold, backend.backend),
        Some(Command::Replay { file, format, html }) => run_replay(&file, format.format, &html),
        None => {
            let plan = plan(&cli.watch)?;
            let watch = &cli.watch;
            let exporter = watch.metrics.map(Exporter::at).transpose()?;
            let output = output(watch.output.as_deref(), watch.format.format, &watch.html)?;
            let mut output = output.with_exporter(exporter);
            // What a command prints would come amid the line.
            if !watch.no_status && watch.run.is_empty() {
                output = output.with_status();
            }
            self::watch(plan, output)
        }
    }
}

/// Where reports go.
fn output(file: Option<&Path>, format: Format, html: &HtmlArg) -> Result<Output, Problem> {
    Output::new(file, format.into())?.with_page(html.html.as_deref())
}

fn run_doctor(format: Format) -> Result<u8> {
    let checks = doctor::examine();
    match doctor::print(
        &checks,
        format.into(),
        output::width(),
        &mut io::stdout().lock(),
    ) {
        Ok(works) => Ok(if works { 0 } else { FAILURE }),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(error).context("cannot print"),
    }
}

/// These processes, or all if none are named.
fn target(pids: &[u32]) -> Result<Target> {
    if pids.is_empty() {
        Ok(Target::All)
    } else {
        processes(pids).map(Target::Pids)
    }
}

fn run_top(pids: &[u32], threshold: Duration, backend: Backend) -> Result<u8> {
    let screen = Screen::new()?;
    let plan = Plan {
        target: target(pids)?,
        threshold,
        healthy: true,
        backend: backend.into(),
        ..Plan::default()
    };
    let outcome = screen.outcome();
    let status = watch(plan, Output::on(screen))?;
    outcome.check()?;
    Ok(status)
}

fn run_snapshot(pids: &[u32], healthy: bool, backend: Backend, output: Output) -> Result<u8> {
    let plan = Plan {
        target: target(pids)?,
        healthy,
        backend: backend.into(),
        ..Plan::default()
    };
    Ok(driver::look_once(&plan, output)?)
}

fn run_replay(file: &Path, format: Format, html: &HtmlArg) -> Result<u8> {
    // With capabilities it would show who may not read it what is in a file.
    if !geteuid().is_root() {
        privileges::keep_nothing().context("cannot give up capabilities")?;
    }
    let mut trace = Trace::open(file)?;
    let notes = Notes::of(&mut trace)?;
    if notes.cut {
        say(format_args!(
            "warning: the trace {} breaks off before the end of the run; what came then is missing",
            file.display()
        ));
    }
    let mut output = output(None, format, html)?;
    replay::replay(&mut trace, &notes, &mut output)?;
    Ok(0)
}

fn run_demo(format: Format, html: &HtmlArg) -> Result<u8> {
    let own = std::env::current_exe().context("cannot find this program")?;
    say(
        "demo: in a child, one thread makes a pipe, another one forks, the first closes its write \
         end and reads.\ndemo: the forked process keeps its copy for 3 s; this is what pipewatch \
         says to that:\n",
    );
    let command = vec![own.into_os_string(), OsString::from("enact")];
    let plan = Plan {
        target: Target::Command(command),
        ..Plan::default()
    };
    watch(plan, output(None, format, html)?)
}

/// Checks what can be checked before anything is loaded.
fn plan(options: &cli::Watch) -> Result<Plan> {
    let target = if options.all {
        Target::All
    } else if options.run.is_empty() {
        Target::Pids(processes(&options.pids)?)
    } else {
        Target::Command(options.run.clone())
    };
    Ok(Plan {
        target,
        threshold: options.threshold,
        min_confidence: options.min_confidence.into(),
        healthy: options.verbose > 0,
        duration: options.duration,
        exit_on_hang: options.exit_on_hang,
        record: options.record.clone(),
        backend: options.backend.backend.into(),
        stacks: (options.stacks == Stacks::Auto).then_some(options.stack_wait),
        buffer: options.buffer,
        debug: options.verbose > 1,
    })
}

fn processes(ids: &[u32]) -> Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for &id in ids {
        let pid = process(id)?;
        if !pids.contains(&pid) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

fn process(id: u32) -> Result<Pid> {
    let found = procfs::process_of(id).with_context(|| format!("cannot look for process {id}"))?;
    let pid = found.ok_or_else(|| {
        Problem::new(
            format!("there is no process or thread {id}"),
            "`pgrep -af NAME` lists processes by name; pids inside a container differ from the host's",
        )
    })?;
    if pid.0 == std::process::id() {
        return Err(Problem::new("pipewatch does not watch itself", "name another process").into());
    }
    Ok(pid)
}

fn watch(plan: Plan, output: Output) -> Result<u8> {
    let signals = signals::catch()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot wait for events")?;
    match runtime.block_on(driver::watch(plan, output, signals))? {
        Ended::Status(status) => {
            let _ = io::stdout().flush();
            Ok(status)
        }
        Ended::NotStarted(not_started) => {
            complain(&not_started.problem.into());
            Ok(not_started.status)
        }
    }
}
