//! What pipewatch needs to be allowed, what it gives up, and what it does not do for
//! others. Needs root.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use pipewatch_tests::{
    NOBODY, Program, User, Watcher, assert_contains, paced, pipewatch, pipewatch_running,
    require_root, scenario,
};
use serde_json::{Value, json};

/// When to stop waiting for something, late or not.
const PATIENCE: Duration = Duration::from_secs(90);

const JSON: &[&str] = &["--format", "json"];

/// What is enough, and what each is in the kernel's numbers.
const ENOUGH: [(&str, u64); 4] = [
    ("bpf", 39),
    ("perfmon", 38),
    ("sys_ptrace", 19),
    ("dac_read_search", 2),
];

fn enough_without(left_out: &str) -> Vec<&'static str> {
    let names = ENOUGH.iter().map(|(name, _)| *name);
    names.filter(|name| *name != left_out).collect()
}

/// The command where tracefs is mounted, which not every host does: that is the only
/// thing that would take more.
fn with_tracefs(command: &Command) -> Command {
    let mount = "[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs \
                 /sys/kernel/tracing && exec \"$@\"";
    let mut within = Command::new("unshare");
    within.args(["--mount", "sh", "-c", mount, "sh"]);
    within.arg(command.get_program()).args(command.get_args());
    within
}

/// What a thread or process may do, by the names that the kernel prints.
fn privileges(status: &str) -> BTreeMap<String, u64> {
    let lines = status.lines().filter_map(|line| line.split_once(":\t"));
    let privileges = lines.filter(|(name, _)| name.starts_with("Cap") || *name == "NoNewPrivs");
    let number = |text: &str| u64::from_str_radix(text.trim(), 16).expect("a number");
    privileges
        .map(|(name, text)| (name.to_owned(), number(text)))
        .collect()
}

fn of_threads(pid: u32) -> Vec<BTreeMap<String, u64>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status"));
    let status = tasks.map(|task| status(task.expect("a thread")).expect("its status"));
    status.map(|text| privileges(&text)).collect()
}

/// Of one that can do this, and never more.
fn no_more_than(bits: u64) -> BTreeMap<String, u64> {
    let sets = [
        ("CapInh", 0),
        ("CapPrm", bits),
        ("CapEff", bits),
        ("CapBnd", 0),
        ("CapAmb", 0),
        ("NoNewPrivs", 1),
    ];
    sets.map(|(name, bits)| (name.to_owned(), bits)).into()
}

fn set(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, |set, number| set | 1 << number)
}

fn hang_of(watcher: &Program, reader: &Value) -> Value {
    watcher.wait_for("hang", PATIENCE, |record| {
        record["type"] == "hang" && record["reader"]["tid"] == *reader
    })
}

/// A hang that begins now is reported with all that is known of it; the frames of its
/// reader.
fn seen_of(watcher: &Program, target: &mut Program) -> Vec<Value> {
    target.go();
    let known = &target.fact("expect")["hang"];
    let hang = hang_of(watcher, &known["reader"]["tid"]);
    assert_contains(&hang, known);
    hang["reader"]["stack"].as_array().expect("a stack").clone()
}

fn started(watcher: &Program) {
    watcher.wait_for("started", PATIENCE, |record| record["type"] == "started");
}

#[test]
fn four_capabilities_are_enough_for_any_user() {
    let user = User::new();
    let mut target = Program::ready(scenario(&["fork-race"]));
    let pid = target.pid().to_string();
    let names = enough_without("none");
    let command = user.capable(&names, &pipewatch(&[JSON, &["-p", &pid]].concat()));
    let watcher = Program::start(with_tracefs(&command));
    started(&watcher);
    let expected = no_more_than(set(ENOUGH.map(|(_, number)| number)));
    // Who cannot give up what it may never gain cannot gain it either.
    let without_bounds = |mut privileges: BTreeMap<String, u64>| {
        privileges.remove("CapBnd");
        privileges
    };
    let threads = of_threads(watcher.pid());
    assert!(threads.len() > 2, "{threads:?}");
    for thread in threads {
        assert_eq!(without_bounds(thread), without_bounds(expected.clone()));
    }
    // Its functions have no names, as pipewatch is in another mount namespace here.
    assert!(seen_of(&watcher, &mut target).len() > 2);
}

#[test]
fn a_missing_capability_is_named() {
    let user = User::new();
    let pid = std::process::id().to_string();
    for (missing, _) in ENOUGH {
        let names = enough_without(missing);
        let name = format!("CAP_{}", missing.to_uppercase());
        let backend = ["--backend", "tracepoint", "-p", &pid];
        let output = Program::run(user.capable(&names, &pipewatch(&backend)));
        output.assert_complaint(2, &name);
        let snapshot = ["snapshot", "--backend", "tracepoint"];
        let output = Program::run(user.capable(&names, &pipewatch(&snapshot)));
        output.assert_complaint(2, &name);
        let doctor = user.capable(&names, &pipewatch(&["doctor", "--format", "json"]));
        let doctor = Program::start(doctor);
        let check = doctor.wait_for("capabilities", PATIENCE, |check| {
            check["check"] == "capabilities"
        });
        assert_eq!(check["ok"], false, "{check:#}");
        let found = check["found"].as_str().expect("words");
        for (other, _) in ENOUGH {
            let named = found.contains(&format!("CAP_{}", other.to_uppercase()));
            assert_eq!(named, other == missing, "{check:#}");
        }
    }
}

#[test]
fn what_is_not_needed_is_given_up_by_every_thread() {
    let mut target = Program::ready(scenario(&["fork-race"]));
    let watcher = Watcher::of(&target, &[]);
    let numbers = ENOUGH.map(|(_, number)| number).into_iter();
    // That of kernels from 5.9 on which names the files that are mapped.
    let expected = no_more_than(set(numbers.chain([40])));
    let threads = of_threads(watcher.pid());
    assert!(threads.len() > 2, "{threads:?}");
    for thread in threads {
        assert_eq!(thread, expected);
    }
    let stack = seen_of(&watcher, &mut target);
    let function = stack[0]["function"].as_str().expect("a name");
    assert!(function.contains("read"), "{stack:#?}");
}

#[test]
fn a_command_may_do_what_it_might_without_pipewatch() {
    let user = User::new();
    let mut grep = Command::new("grep");
    grep.args(["-E", "^(Cap|NoNewPrivs)", "/proc/self/status"]);
    let watched = pipewatch_running(&["-o", "/dev/null"], &grep);
    let names = enough_without("none");
    for (alone, watched) in [
        (user.capable(&names, &grep), user.capable(&names, &watched)),
        (grep, watched),
    ] {
        let alone = Program::run(with_tracefs(&alone));
        let watched = Program::run(with_tracefs(&watched));
        assert_eq!(watched.code, 0, "{watched:?}");
        assert_eq!(privileges(&watched.stdout), privileges(&alone.stdout));
        assert!(!alone.stdout.is_empty());
    }
}

#[test]
fn a_command_that_became_another_user_gets_signals() {
    let user = User::new();
    let mut script = Command::new("sh");
    script.args([
        "-c",
        r#"trap 'exit 7' TERM; echo '{"fact":"ready"}'; while :; do sleep 0.1; done"#,
    ]);
    let watcher = Watcher::running(&user.command(&script));
    watcher.fact("ready");
    watcher.signal(Signal::SIGTERM);
    assert_eq!(watcher.finish(PATIENCE).code, 7);
}

// ---- files -----------------------------------------------------------------------

#[test]
fn a_file_that_another_user_has_planted_is_left_alone() {
    let user = User::new();
    let own = tempfile::tempdir().expect("a folder");
    let precious = own.path().join("precious");
    fs::write(&precious, "precious").expect("a file");
    let planted = [
        format!("ln -s {} link", precious.display()),
        "echo theirs >file; chmod 666 file".to_owned(),
        "mkfifo -m 666 fifo".to_owned(),
    ];
    for plant in planted {
        let mut shell = Command::new("sh");
        shell.args(["-c", &plant]);
        assert_eq!(Program::run(user.command(&shell)).code, 0, "{plant}");
    }
    let mode = Permissions::from_mode(0o1777);
    fs::set_permissions(user.folder(), mode).expect("chmod");
    for name in ["link", "file", "fifo"] {
        let path = user.folder().join(name);
        let path = path.to_str().expect("a path in UTF-8");
        for option in ["--output", "--record"] {
            let output = Program::run(pipewatch(&[option, path, "--all"]));
            output.assert_complaint(2, path);
            assert!(output.stderr.contains("in a folder where others"));
        }
    }
    assert_eq!(fs::read(&precious).expect("a file"), b"precious");
    let theirs = fs::read(user.folder().join("file")).expect("a file");
    assert_eq!(theirs, b"theirs\n");
}

#[test]
fn files_are_for_their_owner_alone_whatever_the_umask() {
    require_root();
    let folder = tempfile::tempdir().expect("a folder");
    symlink("elsewhere", folder.path().join("link")).expect("a link");
    let pipewatch = pipewatch(&[]);
    for umask in ["000", "022", "077"] {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "umask $0; exec \"$@\" -o link --record trace -- true",
            umask,
        ]);
        shell
            .arg(pipewatch.get_program())
            .args(pipewatch.get_args());
        shell.current_dir(folder.path());
        let output = Program::run(shell);
        assert_eq!(output.code, 0, "{output:?}");
        for name in ["elsewhere", "trace"] {
            let path = folder.path().join(name);
            let about = fs::metadata(&path).expect("a file");
            assert_eq!(about.mode() & 0o7777, 0o600, "{name}");
            assert_ne!(about.len(), 0, "{name}");
            fs::remove_file(path).expect("a file");
        }
    }
}

#[test]
fn standard_output_may_be_named() {
    require_root();
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let output = Program::run(pipewatch(&["-o", name, "--", "true"]));
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stdout.contains("WATCHING"), "{output:?}");
    }
}

// ---- other users -----------------------------------------------------------------

/// A program whose file may do what this says, and the user who may run it.
fn with_mode(user: &User, command: &Command, mode: u32) -> Command {
    let copy = user.reachable(command);
    chown(&copy, Some(0), Some(0)).expect("chown");
    fs::set_permissions(&copy, Permissions::from_mode(mode)).expect("chmod");
    let mut command = Command::new(&copy);
    command.current_dir(user.folder());
    command
}

#[test]
fn it_does_not_run_as_somebody_else() {
    for mode in [0o4755, 0o2755] {
        let user = User::new();
        let pipewatch = with_mode(&user, &pipewatch(&[]), mode);
        for (code, arguments) in [
            (2, &["snapshot"][..]),
            (2, &["doctor"]),
            (2, &["replay", "/etc/shadow"]),
            (125, &["--", "id"]),
        ] {
            let mut command = Command::new(pipewatch.get_program());
            command.args(arguments);
            let output = Program::run(user.command(&command));
            output.assert_complaint(code, "set-user-id");
        }
    }
}

#[test]
fn an_ordinary_user_sees_nothing_of_others() {
    let user = User::new();
    let mut target = Program::ready(scenario(&["fork-no-close", "--hold-ms", "90000"]));
    target.go();
    let known = target.fact("expect")["hang"].clone();
    target.fact("reading");
    let pid = target.pid().to_string();
    let output = Program::run(user.pipewatch(&["snapshot", "-p", &pid]));
    output.assert_complaint(2, "not permitted");
    assert!(output.stdout.is_empty(), "{output:?}");
    let args = ["snapshot", "-v", "--all", "--format", "json"];
    let looked = Program::start(user.pipewatch(&args));
    looked.finish(PATIENCE);
    let hidden = [&known["reader"]["pid"], &known["holders"][0]["pid"]];
    for record in looked.objects() {
        assert!(!hidden.contains(&&record["reader"]["pid"]), "{record:#}");
        for holder in record["holders"].as_array().into_iter().flatten() {
            assert!(!hidden.contains(&&holder["pid"]), "{record:#}");
        }
    }
}

#[test]
fn a_program_that_becomes_root_is_followed_and_does() {
    let user = User::new();
    let program = with_mode(&user, &scenario(&[]), 0o4755);
    let hold = paced(Duration::from_secs(4)).as_millis();
    let script = format!(
        r#"echo '{{"fact":"ready"}}'; read go; exec {} fork-no-close --now --hold-ms {hold}"#,
        Path::new(program.get_program()).display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    let mut target = Program::ready(user.command(&shell));
    let watcher = Watcher::of(&target, &[]);
    target.go();
    let known = &target.fact("expect")["hang"];
    let status = fs::read_to_string(format!("/proc/{}/status", target.pid()));
    let status = status.expect("a process");
    let ids = format!("Uid:\t{NOBODY}\t0\t0\t0");
    assert!(status.contains(&ids), "{status}");
    let hang = hang_of(&watcher, &known["reader"]["tid"]);
    assert_contains(&hang, known);
    watcher.wait_for("resolved", PATIENCE, |record| record["type"] == "resolved");
    assert_contains(
        &watcher.wait_for("stopped", PATIENCE, |record| record["type"] == "stopped"),
        &json!({"hangs": 1, "resolved": 1}),
    );
}
