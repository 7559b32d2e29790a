//! Where the parties of a hang are, in programs of many kinds. Needs root, a C
//! compiler and Python.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use pipewatch_tests::{Program, Watcher, pipewatch_running, python, require_root, scenario};
use serde_json::Value;

/// When to stop waiting for a report, late or not.
const PATIENCE: Duration = Duration::from_secs(20);

/// How fast stacks are found is for a benchmark; the machine may have more to do.
const SHORT: &[&str] = &["--threshold", "300ms", "--stack-wait", "20s"];

// ---- what stands where ---------------------------------------------------------

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The line of a source that is marked by a comment.
fn line(path: &str, marker: &str) -> u64 {
    let text = fs::read_to_string(source(path)).expect("a source");
    let ends = [format!("# {marker}"), format!("/* {marker} */")];
    let marked = |line: &str| ends.iter().any(|end| line.ends_with(end.as_str()));
    let index = text.lines().position(marked);
    index.unwrap_or_else(|| panic!("no {marker} in {path}")) as u64 + 1
}

/// The frames of a stack that are in this source: function, and line if known.
fn inside(stack: &Value, file: &str) -> Vec<(String, Option<u64>)> {
    let frames = stack.as_array().expect("a stack").iter();
    let inside = frames.filter(|frame| {
        let path = frame["file"].as_str().unwrap_or_default();
        path.rsplit('/').next() == Some(file)
    });
    let place = |frame: &Value| {
        let function = frame["function"].as_str().expect("a function");
        // Qualified from 3.11 on.
        let function = function.rsplit('.').next().unwrap_or(function);
        (function.to_owned(), frame["line"].as_u64())
    };
    inside.map(place).collect()
}

fn at(function: &str, line: u64) -> (String, Option<u64>) {
    (function.to_owned(), Some(line))
}

fn functions(stack: &Value) -> Vec<&str> {
    let frames = stack.as_array().expect("a stack").iter();
    frames
        .map(|frame| frame["function"].as_str().unwrap_or("?"))
        .collect()
}

/// Whether a stack is known up to the function that nothing has called.
fn is_whole(stack: &Value) -> bool {
    let last = stack.as_array().and_then(|frames| frames.last());
    last.is_some_and(|frame| !frame["address"].is_null())
}

/// What pipewatch says of the only hang that a program will have.
fn hang_of(command: Command, args: &[&str]) -> Value {
    let mut target = Program::ready(command);
    let watcher = Watcher::of(&target, &[SHORT, args].concat());
    target.go();
    watcher.wait_for("hang", PATIENCE, |record| record["type"] == "hang")
}

// ---- native ----------------------------------------------------------------------

/// A folder with the C program in it that most tests have.
fn compiled(options: &[&str]) -> (tempfile::TempDir, PathBuf) {
    compiled_of("c/waiter.c", options)
}

fn compiled_of(path: &str, options: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = source(path);
    let program = folder.path().join(path.file_stem().expect("a name"));
    let status = Command::new("cc")
        .args(["-g", "-o"])
        .arg(&program)
        .args(options)
        .arg(path)
        .status();
    let status = status.expect("a C compiler, as cc");
    assert!(status.success(), "cc failed");
    (folder, program)
}

fn assert_c_is_known(hang: &Value) {
    let file = "c/waiter.c";
    let stack = &hang["reader"]["stack"];
    let expected = [
        at("wait_for_word", line(file, "waits")),
        at("between", line(file, "between")),
        at("main", line(file, "main")),
    ];
    assert_eq!(inside(stack, "waiter.c"), expected, "{stack:#}");
    assert!(functions(stack)[0].contains("read"), "{stack:#}");
    assert!(is_whole(stack), "{stack:#}");
    let stack = &hang["holders"][0]["stack"];
    assert_eq!(inside(stack, "waiter.c")[0], at("keep", line(file, "kept")));
    assert!(is_whole(stack), "{stack:#}");
}

#[test]
fn a_program_without_frame_pointers() {
    let (_folder, program) = compiled(&["-O2", "-fomit-frame-pointer"]);
    assert_c_is_known(&hang_of(Command::new(program), &[]));
}

#[test]
fn a_program_with_frame_pointers() {
    let (_folder, program) = compiled(&["-O0", "-fno-omit-frame-pointer"]);
    let hang = hang_of(Command::new(program), &[]);
    assert_c_is_known(&hang);
    let made = &hang["pipe"]["created"]["stack"];
    assert!(functions(made)[0].contains("pipe"), "{made:#}");
}

#[test]
fn stacks_do_not_run_out() {
    let options = ["-O0", "-fno-omit-frame-pointer", "-pthread"];
    let (_folder, program) = compiled_of("c/paths.c", &options);
    let mut target = Program::ready(Command::new(program));
    // All that happens has room, and when the first hang is told, which has lasted longer
    // than it takes to the next count, what is not needed any more is gone.
    let args = [
        "--threshold",
        "2s",
        "--stack-wait",
        "20s",
        "--buffer",
        "64MiB",
    ];
    let watcher = Watcher::of(&target, &args);
    target.go();
    let hangs = |record: &Value| record["type"] == "hang";
    let early = watcher.wait_for("hang", PATIENCE, hangs);
    target.go();
    let later = |record: &Value| hangs(record) && record["id"] != early["id"];
    let late = watcher.wait_for("second hang", PATIENCE, later);
    for hang in [early, late] {
        let made = &hang["pipe"]["created"]["stack"];
        assert!(functions(made).contains(&"main"), "{hang:#}");
    }
}

#[test]
fn a_program_that_is_bound_to_its_address() {
    let (_folder, program) = compiled(&["-O2", "-no-pie", "-static"]);
    let hang = hang_of(Command::new(program), &[]);
    let stack = &hang["reader"]["stack"];
    let inside = inside(stack, "waiter.c");
    assert_eq!(inside[0].0, "wait_for_word", "{stack:#}");
}

#[test]
fn a_program_that_was_deleted() {
    let (folder, program) = compiled(&["-O2"]);
    let mut target = Program::ready(Command::new(program));
    drop(folder);
    let watcher = Watcher::of(&target, SHORT);
    target.go();
    let hang = watcher.wait_for("hang", PATIENCE, |record| record["type"] == "hang");
    assert_c_is_known(&hang);
}

/// How often a thread has gone to sleep or was stopped.
fn switches(pid: u64, tid: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"));
    let status = status.expect("a thread");
    let line = status
        .lines()
        .find(|it| it.starts_with("voluntary_ctxt_switches"));
    line.expect("its switches").to_owned()
}

#[test]
fn no_thread_is_stopped_for_a_report() {
    let (_folder, program) = compiled(&["-O2", "-pthread", "-DCOUNTING"]);
    let mut target = Program::ready(Command::new(program));
    let watcher = Watcher::of(&target, SHORT);
    target.go();
    target.fact("counting");
    let pid = u64::from(target.pid());
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let threads = threads.map(|thread| thread.expect("a thread").file_name());
    let threads = threads.map(|name| name.into_string().expect("a number"));
    let counting: Vec<String> = threads.filter(|tid| *tid != pid.to_string()).collect();
    assert_eq!(counting.len(), 1);
    let before = switches(pid, &counting[0]);
    let hang = watcher.wait_for("hang", PATIENCE, |record| record["type"] == "hang");
    assert!(is_whole(&hang["reader"]["stack"]), "{hang:#}");
    assert_eq!(switches(pid, &counting[0]), before);
}

/// Where in a program's file what is mapped to run it ends.
fn end_of_segments(elf: &[u8]) -> usize {
    let number = |at: usize, size: usize| {
        let bytes = elf[at..at + size].iter().rev();
        bytes.fold(0, |number, &byte| number << 8 | usize::from(byte))
    };
    let (first, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    let headers = (0..count).map(|index| first + index * size);
    let loaded = headers.filter(|&header| number(header, 4) == 1);
    let ends = loaded.map(|header| number(header + 8, 8) + number(header + 0x20, 8));
    ends.max().expect("a segment")
}

/// What a byte at a place becomes.
type Pattern = Box<dyn FnMut(usize, u8) -> u8>;

#[test]
fn a_mangled_program_costs_no_report() {
    let (_folder, program) = compiled(&["-O2"]);
    let intact = fs::read(&program).expect("the program");
    let end = end_of_segments(&intact);
    assert!(end < intact.len() - 1000, "debug information and symbols");
    let mut noise = 1_u64;
    let mut patterns: [Pattern; 5] = [
        Box::new(|_, _| 0),
        Box::new(|_, _| 0xff),
        Box::new(|at, byte| if at % 64 == 0 { 0xff } else { byte }),
        Box::new(|at, byte| if at % 257 == 0 { !byte } else { byte }),
        Box::new(move |_, _| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (noise >> 56) as u8
        }),
    ];
    for (number, pattern) in patterns.iter_mut().enumerate() {
        let mut mangled = intact.clone();
        for (at, byte) in mangled[end..].iter_mut().enumerate() {
            *byte = pattern(at, *byte);
        }
        fs::remove_file(&program).expect("the last one");
        fs::write(&program, mangled).expect("a program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("to run it");
        assert_reported_whatever_it_shows(&program, number);
    }
}

/// Puts something where a process's perf map is looked for.
type Lie = Box<dyn Fn(&Path)>;

#[test]
fn a_perf_map_that_lies_costs_no_report() {
    let (_folder, program) = compiled(&["-O2"]);
    let write = |text: &'static [u8]| move |map: &Path| fs::write(map, text).expect("a map");
    let lies: [Lie; 5] = [
        Box::new(write(b"\xff\xfe\0 1 \n\n - - -\n")),
        Box::new(write(
            b"0 ffffffffffffffff all\n0 ffffffffffffffff all\n1 0 none\n",
        )),
        Box::new(|map| {
            let huge = fs::File::create(map).expect("a map");
            huge.set_len(1 << 40).expect("a hole");
        }),
        Box::new(|map| {
            let made = Command::new("mkfifo").arg(map).status().expect("mkfifo");
            assert!(made.success());
        }),
        Box::new(|map| std::os::unix::fs::symlink("/dev/zero", map).expect("a link")),
    ];
    for (number, lie) in lies.iter().enumerate() {
        let mut target = Program::ready(Command::new(&program));
        let map = PathBuf::from(format!("/tmp/perf-{}.map", target.pid()));
        lie(&map);
        let watcher = Watcher::of(&target, SHORT);
        target.go();
        let hang = watcher.wait_for("hang", PATIENCE, |record| record["type"] == "hang");
        fs::remove_file(&map).expect("the map");
        assert_c_is_known(&hang);
        drop(target);
        let output = watcher.finish(PATIENCE);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{number}");
    }
}

/// A program that shows itself as a library of Python, by a path at which a FIFO is.
/// Whoever opens that to read waits for ever.
fn trap() -> (tempfile::TempDir, Program) {
    let (folder, program) = compiled(&["-O2"]);
    let path = folder.path().join("libpython3.11.so");
    fs::rename(program, &path).expect("a new name");
    let target = Program::ready(Command::new(&path));
    fs::remove_file(&path).expect("the program");
    let made = Command::new("mkfifo")
        .arg(folder.path().join("libpython3.11.so (deleted)"))
        .status();
    assert!(made.expect("mkfifo").success());
    (folder, target)
}

/// A pipewatch that watches these, and gives a lookup as little time as it can.
fn hurried(targets: &[&Program]) -> Watcher {
    let pids = targets.iter().map(|target| target.pid().to_string());
    let pids = pids.flat_map(|pid| ["-p".to_owned(), pid]);
    let args: Vec<String> = pids.collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Watcher::start(&[&args, &["--threshold", "300ms", "--stack-wait", "5s"][..]].concat())
}

fn hang_in(watcher: &Watcher, target: &Program) -> Value {
    let of_it = |record: &Value| record["reader"]["pid"] == target.pid();
    watcher.wait_for("hang", PATIENCE, |record| {
        record["type"] == "hang" && of_it(record)
    })
}

#[test]
fn a_file_that_cannot_be_opened_costs_the_stacks_of_one_process() {
    let (_trap, mut trap) = trap();
    let (_folder, program) = compiled(&["-O2"]);
    let mut good = Program::ready(Command::new(program));
    let watcher = hurried(&[&trap, &good]);
    trap.go();
    let hang = hang_in(&watcher, &trap);
    assert_eq!(functions(&hang["reader"]["stack"]), [""; 0], "{hang:#}");
    watcher.wait_for_complaint(
        &format!("warning: looking into pid {}", trap.pid()),
        PATIENCE,
    );
    good.go();
    assert_c_is_known(&hang_in(&watcher, &good));
}

#[test]
fn files_that_cannot_be_opened_do_not_cost_threads_without_end() {
    let mut traps: Vec<_> = (0..5).map(|_| trap()).collect();
    let targets: Vec<&Program> = traps.iter().map(|(_, target)| target).collect();
    let watcher = hurried(&targets);
    let threads = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", watcher.pid()));
        tasks.expect("a pipewatch").count()
    };
    let before = threads();
    for (_, trap) in &mut traps {
        trap.go();
        hang_in(&watcher, trap);
        let warning = format!("warning: looking into pid {} has", trap.pid());
        watcher.wait_for_complaint(&warning, PATIENCE);
    }
    watcher.wait_for_complaint("reports are without stacks from now on", PATIENCE);
    assert_eq!(threads(), before + 4);
}

/// A program that is made to confuse whoever reads it hangs, and that is told.
fn assert_reported_whatever_it_shows(program: &Path, number: usize) {
    let mut target = Program::ready(Command::new(program));
    let watcher = Watcher::of(&target, SHORT);
    target.go();
    let hang = watcher.wait_for("hang", PATIENCE, |record| record["type"] == "hang");
    assert_eq!(hang["verdict"], "leaked", "{number}: {hang:#}");
    let stack = &hang["reader"]["stack"];
    assert!(functions(stack)[0].contains("read"), "{number}: {stack:#}");
    drop(target);
    let output = watcher.finish(PATIENCE);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{number}");
}

#[test]
fn a_program_in_a_mount_namespace() {
    let (folder, program) = compiled(&["-O2"]);
    // What only that namespace shows, at a path that is empty elsewhere.
    let hidden = folder.path().join("hidden");
    fs::create_dir(&hidden).expect("a folder");
    let script = format!(
        "mount -t tmpfs none {hidden} && cp {program} {hidden} && exec {hidden}/waiter",
        hidden = hidden.display(),
        program = program.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let hang = hang_of(command, &[]);
    assert_c_is_known(&hang);
    let module = &hang["reader"]["stack"][1]["module"];
    assert_eq!(module.as_str(), hidden.join("waiter").to_str());
}

#[test]
fn rust() {
    let hang = hang_of(scenario(&["fork-race", "--hold-ms", "20000"]), &[]);
    let stack = &hang["reader"]["stack"];
    assert!(is_whole(stack), "{stack:#}");
    let own = inside(stack, "fork_race.rs");
    let text = fs::read_to_string(source("src/bin/scenario/fork_race.rs")).expect("a source");
    let called = "window.make_close_read";
    let expected = text.lines().position(|line| line.contains(called));
    let expected = expected.map(|index| index as u64 + 1);
    assert_eq!(
        own.first().and_then(|(_, line)| *line),
        expected,
        "{stack:#}"
    );
}

#[test]
fn a_holder_that_runs_another_program() {
    let mut command = Command::new("sh");
    let script = r#"echo '{"fact":"ready"}'; read go; x=$(sleep 60 & echo)"#;
    command.args(["-c", script]);
    let hang = hang_of(command, &[]);
    let holder = &hang["holders"][0];
    assert_eq!(holder["comm"], "sleep");
    let stack = &holder["stack"];
    let sleeps = functions(stack)
        .iter()
        .any(|function| function.contains("nanosleep"));
    assert!(sleeps, "{stack:#}");
    let in_sleep = stack.as_array().expect("a stack").iter().any(|frame| {
        let module = frame["module"].as_str().unwrap_or_default();
        module.ends_with("/sleep")
    });
    assert!(in_sleep && is_whole(stack), "{stack:#}");
}

#[test]
fn without_stacks_nothing_is_looked_up() {
    let (_folder, program) = compiled(&["-O2"]);
    let hang = hang_of(Command::new(program), &["--stacks", "off"]);
    let none = serde_json::json!([]);
    assert_eq!(hang["reader"]["stack"], none);
    assert_eq!(hang["pipe"]["created"]["stack"], none);
    assert_eq!(hang["holders"][0]["stack"], none);
}

// ---- Python ----------------------------------------------------------------------

/// The Pythons of this machine by version: those of PYENV_ROOT, and those that are
/// named by their version in PATH.
fn pythons() -> BTreeMap<String, PathBuf> {
    let versions = ["2.7"].into_iter().map(str::to_owned);
    let versions = versions.chain((6..=14).map(|minor| format!("3.{minor}")));
    let installed = env::var_os("PYENV_ROOT").map(|root| Path::new(&root).join("versions"));
    let installed = installed.and_then(|folder| folder.read_dir().ok());
    let installed = installed.into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let find = |version: String| {
        let name = format!("python{version}");
        let paths = folders.iter().map(|folder| folder.join(&name));
        // A name may stand for a version that is not chosen.
        let mut running = paths.filter(|path| {
            let run = Command::new(path).args(["-c", "pass"]).output();
            run.is_ok_and(|output| output.status.success())
        });
        Some((version, running.next()?))
    };
    let found: BTreeMap<String, PathBuf> = versions.filter_map(find).collect();
    assert!(!found.is_empty(), "these tests need a Python");
    found
}

/// A program of `tests/py`, run by this Python.
fn run_by(interpreter: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    command.arg("-B").args(args).current_dir(source("py"));
    command
}

#[test]
fn python_threads_and_a_bare_fork() {
    let file = "py/bare_fork.py";
    for (version, interpreter) in pythons() {
        let hang = hang_of(run_by(&interpreter, &["bare_fork.py"]), &[]);
        let stack = &hang["reader"]["stack"];
        let waits = [at("wait_for_word", line(file, "waits"))];
        assert_eq!(inside(stack, "bare_fork.py"), waits, "{version}: {hang:#}");
        // Native frames below and above.
        assert!(functions(stack)[0].contains("read"), "{version}: {stack:#}");
        assert!(is_whole(stack), "{version}: {stack:#}");
        if version != "2.7" {
            let name = "a name of more than 15 bytes";
            assert_eq!(hang["reader"]["thread_name"], name, "{version}");
        }

        let forks = line(file, "forks");
        let holder = &hang["holders"][0];
        let now = inside(&holder["stack"], "bare_fork.py");
        let expected = at("keep", line(file, "keeps"));
        assert_eq!(now[0], expected, "{version}: {holder:#}");
        assert_eq!(now[2], at("wait_for_word", forks), "{version}: {holder:#}");
        let via = inside(&holder["via"]["stack"], "bare_fork.py");
        if is_walked(&version) {
            assert_eq!(
                via,
                [
                    at("fork", line(file, "os_fork")),
                    at("wait_for_word", forks)
                ]
            );
            let created = inside(&hang["pipe"]["created"]["stack"], "bare_fork.py");
            assert_eq!(
                created,
                [at("wait_for_word", line(file, "makes"))],
                "{version}"
            );
        } else {
            // The reader has gone on from there, so this is what is known for certain.
            let expected = [("wait_for_word".to_owned(), None)];
            assert_eq!(via, expected, "{version}: {holder:#}");
        }
    }
}

#[test]
fn of_many_hangs_at_once_each_has_its_own_stacks() {
    const HANGS: usize = 12;
    let threads = HANGS.to_string();
    for (version, interpreter) in pythons() {
        if version == "2.7" {
            continue;
        }
        let mut target = Program::ready(run_by(&interpreter, &["many.py", &threads]));
        let watcher = Watcher::of(&target, SHORT);
        target.go();
        let mut seen = BTreeSet::new();
        for _ in 0..HANGS {
            let hang = watcher.wait_for("hang", PATIENCE, |record| {
                record["type"] == "hang" && !seen.contains(&record["id"].as_u64())
            });
            seen.insert(hang["id"].as_u64());
            let reader = &hang["reader"];
            let fd = reader["fd"].as_u64().expect("a descriptor");
            let kind = if fd % 2 == 1 { "odd" } else { "even" };
            assert_eq!(
                reader["thread_name"],
                format!("reader of {fd}"),
                "{version}"
            );
            let calls = |stack: &Value| -> Vec<String> {
                let frames = inside(stack, "many.py").into_iter();
                frames.map(|(function, _)| function).collect()
            };
            assert_eq!(calls(&reader["stack"]), [kind], "{version}: {hang:#}");
            let holder = &hang["holders"][0]["stack"];
            assert_eq!(
                calls(holder),
                ["keep", kind, "<module>"],
                "{version}: {hang:#}"
            );
        }
    }
}

/// Whether frames of this Python are found when something happens.
fn is_walked(version: &str) -> bool {
    !matches!(version, "2.7" | "3.6" | "3.14")
}

/// Pythons whose frames are.
fn walked_pythons() -> impl Iterator<Item = (String, PathBuf)> {
    let pythons = pythons().into_iter();
    let mut walked = pythons.filter(|(version, _)| is_walked(version)).peekable();
    assert!(
        walked.peek().is_some(),
        "these tests need a Python of 3.7 to 3.13"
    );
    walked
}

#[test]
fn code_that_is_gone_is_no_other_code() {
    for (version, interpreter) in walked_pythons() {
        let hang = hang_of(run_by(&interpreter, &["gone_code.py"]), &[]);
        let created = &hang["pipe"]["created"]["stack"];
        let file = "py/gone_code.py";
        let known = [
            at("make_pipe", line(file, "calls")),
            at("<module>", line(file, "runs")),
        ];
        assert_eq!(
            inside(created, "gone_code.py"),
            known,
            "{version}: {created:#}"
        );
        assert_eq!(inside(created, "<other>"), [], "{version}: {created:#}");
        let all = created.as_array().expect("a stack");
        let python: Vec<_> = all.iter().filter(|it| it["kind"] == "python").collect();
        assert_eq!(python.len(), 3, "{version}: {created:#}");
        assert_eq!(python[0]["function"], Value::Null, "{version}: {created:#}");
    }
}

#[test]
fn what_a_process_did_that_is_gone_is_in_its_children() {
    for (version, interpreter) in walked_pythons() {
        let hang = hang_of(run_by(&interpreter, &["orphans.py"]), &[]);
        let file = "py/orphans.py";
        let created = inside(&hang["pipe"]["created"]["stack"], "orphans.py");
        assert_eq!(
            created[0],
            at("parent", line(file, "made")),
            "{version}: {hang:#}"
        );
        let via = inside(&hang["holders"][0]["via"]["stack"], "orphans.py");
        assert_eq!(
            via[1],
            at("parent", line(file, "forks")),
            "{version}: {hang:#}"
        );
    }
}

#[test]
fn a_python_that_is_not_known_is_told_so() {
    for (version, interpreter) in pythons() {
        let output = Program::run(pipewatch_running(
            &[],
            &run_by(&interpreter, &["-c", "import time; time.sleep(0.5)"]),
        ));
        let said = output.stderr.contains("whose frames are not known");
        assert_eq!(said, !is_walked(&version), "{version}: {output:?}");
    }
}

/// What is the same in each run, by each Python, with or without debug symbols.
fn redacted(text: &str, interpreter: &Path) -> String {
    let interpreter = interpreter.to_str().expect("a path in UTF-8");
    let folder = format!("{}/", source("py").display());
    let block = text.lines().skip_while(|line| !line.starts_with("HANG"));
    let block = block.take_while(|line| !line.is_empty());
    let native = |line: &&str| line.contains("(in ") || line.contains(".c:");
    let lines = block.filter(|line| !native(line)).map(|line| {
        // Before 3.9 the file is as it was given.
        let line = line.replace(&folder, "").replace(interpreter, "PYTHON");
        let line = line.replace("Popen.", "");
        let mut redacted = String::new();
        for c in line.chars() {
            let c = if c.is_ascii_digit() { 'N' } else { c };
            if c != 'N' || !redacted.ends_with('N') {
                redacted.push(c);
            }
        }
        let redacted = redacted.replace("pythonN.N", "python");
        // Times, in whatever unit.
        let words = redacted.split(' ');
        let words = words.map(|word| match word {
            "ms" | "µs" | "s" => "s".to_owned(),
            word if word.trim_matches(['-', '+', '(']) == "N.N" => word.replace("N.N", "N"),
            word => word.to_owned(),
        });
        words
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    });
    lines.map(|line| line + "\n").collect()
}

#[test]
fn the_story_as_a_person_reads_it() {
    require_root();
    let golden = source("goldens/scene.txt");
    let mut bless = env::var_os("BLESS").is_some();
    for (version, interpreter) in pythons() {
        if version == "2.7" || version == "3.6" || version == "3.7" {
            continue;
        }
        let mut command = pipewatch_running(
            &["--exit-on-hang"],
            &run_by(&interpreter, &["scene.py", "--now"]),
        );
        command.current_dir(source("py")).env("COLUMNS", "1000");
        let output = Program::run(command);
        let text = redacted(&output.stdout, &interpreter);
        if std::mem::take(&mut bless) {
            fs::write(&golden, &text).expect("a golden that can be written");
        }
        let expected = fs::read_to_string(&golden).expect("a golden");
        assert_eq!(text, expected, "{version}: {}", output.stdout);
        for (marker, words) in [
            ("waits", "in start_command"),
            ("forks", "in start_updater"),
            ("keeps", "in update"),
        ] {
            let place = format!("scene.py:{} {words}", line("py/scene.py", marker));
            assert!(output.stdout.contains(&place), "{version}: {place}");
        }
    }
}

#[test]
fn the_story_for_programs() {
    let hang = hang_of(python(&["scene.py"]), &[]);
    let via = &hang["holders"][0]["via"]["stack"];
    let launch = inside(via, "popen_fork.py");
    assert_eq!(launch[0].0, "_launch", "{via:#}");
    assert!(launch[0].1.is_some(), "the line that forks: {via:#}");
    let created = &hang["pipe"]["created"]["stack"];
    assert_eq!(functions(created)[0], "Popen._execute_child", "{created:#}");
    let made = at("start_command", line("py/scene.py", "waits"));
    assert_eq!(inside(created, "scene.py"), [made], "{created:#}");
    let forks = at("start_updater", line("py/scene.py", "forks"));
    assert_eq!(inside(via, "scene.py"), [forks], "{via:#}");
    let step = &hang["timeline"][1];
    assert_eq!((&step["what"], &step["stack"]), (&"fork".into(), via));
    assert_eq!(step["thread_name"], "updater");
    let popen = inside(&hang["reader"]["stack"], "subprocess.py");
    let popen: Vec<&str> = popen
        .iter()
        .map(|(function, _)| function.as_str())
        .collect();
    assert_eq!(popen, ["_execute_child", "__init__"]);
}
