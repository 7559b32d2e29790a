//! Processes whose names are made up to play tricks on who reads them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pipewatch_tests::{Program, pipewatch_running, require_root};
use serde_json::Value;

/// An escape sequence in both of its forms, line ends, and bytes that are no text.
const ODD: &[u8] = b"\x1b[2J\x9b\xc2\x9b31m\n\r\x07\x7f\xff\xe2\x80\xa8";

/// A perl, by a path and with arguments like that, that waits for a FIFO with such a
/// name which a child of it holds open and never writes to.
const SCRIPT: &str = r#"
    my ($fifo, $name) = @ARGV;
    open(my $comm, ">", "/proc/self/comm"); print $comm $name; close($comm);
    open(my $both, "+<", $fifo) or die;
    open(my $reader, "<", $fifo) or die;
    if (fork() == 0) { close($reader); sleep 3; exit 0 }
    close($both);
    sysread($reader, my $byte, 1);
"#;

#[test]
fn odd_names_are_told_without_what_a_terminal_obeys() {
    require_root();
    let folder = tempfile::tempdir().expect("a folder");
    let perl = folder.path().join(OsStr::from_bytes(ODD));
    let mut cp = Command::new("cp");
    cp.arg("/usr/bin/perl").arg(&perl);
    assert_eq!(Program::run(cp).code, 0, "cp");
    let fifo = folder.path().join(OsStr::from_bytes(&[b"f", ODD].concat()));
    mkfifo(&fifo, Mode::from_bits_truncate(0o600)).expect("a FIFO");
    let mut target = Command::new(&perl);
    target
        .args(["-e", SCRIPT])
        .arg(&fifo)
        .arg(OsStr::from_bytes(&ODD[..15]))
        // Longer than any page.
        .arg(OsStr::from_bytes(&ODD.repeat(400)));

    for format in ["text", "json"] {
        let file = folder.path().join(format);
        let path = file.to_str().expect("a path in UTF-8");
        let args = ["--format", format, "-v", "-o", path];
        let command = pipewatch_running(&args, &target);
        let output = Program::run(command);
        assert_eq!(output.code, 0, "{output:?}");
        let told = String::from_utf8(fs::read(&file).expect("reports")).expect("UTF-8");
        let odd = told.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(odd, None, "in {told:?}");
        assert!(told.contains("[2J"), "nothing of the names in {told}");
        if format == "json" {
            let hang = |record: &Value| record["type"] == "hang";
            let records = told.lines().map(serde_json::from_str);
            let records: Vec<Value> = records.collect::<Result<_, _>>().expect("JSON by line");
            assert!(records.iter().any(hang), "no hang in {told}");
        }
    }
}
