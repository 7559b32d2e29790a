//! `cargo xtask tidy`: which module of pipewatch may use which, and the house
//! rules that no lint knows.

use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace::{self, Workspace};

const WORDS: &[&str] = &[
    "ids", "arch", "asked", "cgroup", "event", "finding", "language", "listing", "stack", "input",
    "problem", "rules", "decode",
];
const LOGIC: &[&str] = &["world", "correlate"];
const ENGINE: &[&str] = &["engine"];
const VIEWS: &[&str] = &["render"];
const LEAVES: &[&str] = &[
    "bpf",
    "procfs",
    "injection",
    "stacks",
    "allocator",
    "clock",
    "signals",
    "target",
    "privileges",
    "private_file",
    "trace_file",
    "metrics",
    "journal",
    "demo",
];
const LOOP: &[&str] = &[
    "console",
    "screen",
    "status",
    "output",
    "page_file",
    "exporter",
    "choice",
    "source",
    "plan",
    "host",
    "names",
    "interpreters",
    "debug_log",
    "reports",
    "driver",
    "replay",
    "release",
    "doctor",
];
const SHELL: &[&str] = &["cli", "main"];

/// The layers, lowest first, as ARCHITECTURE.md has them: these modules use
/// themselves and those. Every module of pipewatch is in one row.
const LAYERS: &[Layer] = &[
    pure(WORDS, &[WORDS]),
    pure(&["world"], &[WORDS]),
    pure(&["correlate"], &[WORDS, &["world"]]),
    pure(ENGINE, &[WORDS, LOGIC]),
    layer(VIEWS, &[WORDS]),
    layer(LEAVES, &[WORDS]),
    layer(LOOP, &[WORDS, LOGIC, ENGINE, VIEWS, LEAVES, LOOP]),
    layer(SHELL, &[WORDS, LOGIC, ENGINE, VIEWS, LEAVES, LOOP, SHELL]),
];

type Modules = &'static [&'static str];

struct Layer {
    modules: Modules,
    uses: &'static [Modules],
    /// Nothing but arguments decides what its functions return: no clock, no
    /// files, no processes, no order that differs from run to run.
    pure: bool,
}

const fn layer(modules: Modules, uses: &'static [Modules]) -> Layer {
    Layer {
        modules,
        uses,
        pure: false,
    }
}

const fn pure(modules: Modules, uses: &'static [Modules]) -> Layer {
    Layer {
        pure: true,
        ..layer(modules, uses)
    }
}

/// What a pure module may not name, wherever it comes from.
const IMPURE_WORDS: &[&str] = &[
    "Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "tokio",
    "rand",
];

/// What a pure module may not use of `std`.
const IMPURE_STD: &[&str] = &["env", "fs", "net", "process", "thread"];

/// Words that mark work put off. In pieces, so that they are not found here.
const PUT_OFF: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];
const SWITCHED_OFF: &str = concat!("#[", "ignore");

const MAX_LINES: usize = 700;
/// Tables of cases may be longer than code.
const MAX_TEST_LINES: usize = 1200;

/// The packages whose files are checked.
const PACKAGES: &[&str] = &["pipewatch", "pipewatch-ebpf", "tests", "xtask"];

/// Checks all Rust files and lists every fault.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut faults = Vec::new();
    let modules = workspace.root.join("pipewatch/src");
    for package in PACKAGES {
        for path in workspace::rust_files(&workspace.root.join(package))? {
            let text = workspace::read(&path)?;
            let inside = path.strip_prefix(&workspace.root).unwrap_or(&path);
            let is_test = inside.iter().any(|part| part == "tests");
            let max_lines = if is_test { MAX_TEST_LINES } else { MAX_LINES };
            let mut found = house_faults(&text, max_lines);
            if let Some(module) = path.strip_prefix(&modules).ok().and_then(module_of) {
                found.extend(layer_faults(&module, &text));
            }
            let name = inside.display();
            faults.extend(found.into_iter().map(|fault| format!("{name}{fault}")));
        }
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    match faults.len() {
        0 => Ok(()),
        1 => bail!("tidy found 1 fault"),
        count => bail!("tidy found {count} faults"),
    }
}

/// The module a file of pipewatch belongs to; none for the root of the library,
/// which only declares modules.
fn module_of(path: &Path) -> Option<String> {
    let first = path.components().next()?.as_os_str().to_string_lossy();
    let module = first.strip_suffix(".rs").unwrap_or(&first);
    (module != "lib").then(|| module.to_owned())
}

/// The faults any Rust file can have, each as `:LINE: what`, or `: what`.
fn house_faults(text: &str, max_lines: usize) -> Vec<String> {
    let mut faults = Vec::new();
    let length = text.lines().count();
    if length > max_lines {
        faults.push(format!(": {length} lines, more than {max_lines}"));
    }
    for (number, line) in numbered(text) {
        for word in words(line).filter(|word| PUT_OFF.contains(word)) {
            faults.push(format!(
                ":{number}: {word}: do it, or write it down elsewhere"
            ));
        }
        if line.contains(SWITCHED_OFF) {
            faults.push(format!(":{number}: a test that does not run"));
        }
    }
    faults
}

/// The faults of a file that belongs to this module of pipewatch.
fn layer_faults(module: &str, text: &str) -> Vec<String> {
    let Some(layer) = LAYERS.iter().find(|layer| layer.modules.contains(&module)) else {
        return vec![format!(
            ": module `{module}` is in no layer of xtask/src/tidy.rs"
        )];
    };
    let code: String = text
        .lines()
        .map(|line| without_comment(line).to_owned() + "\n")
        .collect();
    let mut faults = Vec::new();
    let is_module = |name: &str| LAYERS.iter().any(|layer| layer.modules.contains(&name));
    let by_super = heads(&code, "super::")
        .into_iter()
        .filter(|(_, used)| is_module(used));
    for (number, used) in heads(&code, "crate::").into_iter().chain(by_super) {
        if used != module && !layer.uses.iter().any(|modules| modules.contains(&used)) {
            faults.push(format!(":{number}: `{module}` may not use `crate::{used}`"));
        }
    }
    if layer.pure {
        for (number, used) in heads(&code, "std::") {
            if IMPURE_STD.contains(&used) {
                faults.push(format!(
                    ":{number}: `{module}` is pure and may not use `std::{used}`"
                ));
            }
        }
        for (number, line) in numbered(&code) {
            for word in words(line).filter(|word| IMPURE_WORDS.contains(word)) {
                faults.push(format!(
                    ":{number}: `{module}` is pure and may not use `{word}`"
                ));
            }
        }
    }
    faults
}

/// What follows this prefix of a path, with its line: one name, or each first
/// name of a group in braces.
fn heads<'a>(code: &'a str, prefix: &str) -> Vec<(usize, &'a str)> {
    let mut heads = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(is_word) {
            continue;
        }
        let start = at + prefix.len();
        let mut depth = 0_usize;
        let mut name_expected = true;
        for (offset, sign) in code[start..].char_indices() {
            let rest = &code[start + offset..];
            match sign {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                ',' if depth == 1 => name_expected = true,
                _ if name_expected && is_word(sign) => {
                    let line = code[..start + offset].lines().count();
                    heads.push((line, words(rest).next().unwrap_or_default()));
                    name_expected = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    heads
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|sign| !is_word(sign))
}

fn is_word(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_in_one_layer() {
        let mut modules: Vec<_> = LAYERS.iter().flat_map(|layer| layer.modules).collect();
        let count = modules.len();
        modules.sort();
        modules.dedup();
        assert_eq!(modules.len(), count);
    }

    #[test]
    fn files_belong_to_the_module_they_are_below() {
        let module = |path: &str| module_of(Path::new(path));
        assert_eq!(module("engine.rs").as_deref(), Some("engine"));
        assert_eq!(module("world/pipe.rs").as_deref(), Some("world"));
        assert_eq!(module("lib.rs"), None);
    }

    #[test]
    fn a_path_or_each_name_of_a_group_is_a_head() {
        let names = |code| {
            heads(code, "crate::")
                .into_iter()
                .map(|(_, name)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("use crate::world::Pipe;"), ["world"]);
        assert_eq!(
            names("use crate::{ids::{Fd, Pid}, world::Pipe, bpf};"),
            ["ids", "world", "bpf"]
        );
        assert_eq!(
            names("use crate::{\n    ids,\n};\npub const A: u8 = 1;"),
            ["ids"]
        );
        assert_eq!(names("fn f(e: &crate::event::Event, x: u8) {}"), ["event"]);
        assert_eq!(names("pub(crate) fn f() {} mycrate::x"), Vec::<&str>::new());
    }

    #[test]
    fn a_head_knows_its_line() {
        assert_eq!(
            heads("\nuse crate::{\n    ids,\n    world,\n};", "crate::"),
            [(3, "ids"), (4, "world")]
        );
    }

    #[test]
    fn what_the_row_lists_and_the_module_itself_are_allowed() {
        let text = "use crate::world::Pipe;\nuse crate::{ids::Pid, correlate};\n// crate::bpf\n";
        assert_eq!(layer_faults("correlate", text), Vec::<String>::new());
    }

    #[test]
    fn what_the_row_does_not_list_is_a_fault() {
        assert_eq!(
            layer_faults("procfs", "\nuse crate::{ids, bpf::Ring};"),
            [":2: `procfs` may not use `crate::bpf`"]
        );
        assert_eq!(
            layer_faults("procfs", "use super::bpf;\nmod tests { use super::Row; }"),
            [":1: `procfs` may not use `crate::bpf`"]
        );
    }

    #[test]
    fn an_unknown_module_is_a_fault() {
        assert_eq!(
            layer_faults("odd", ""),
            [": module `odd` is in no layer of xtask/src/tidy.rs"]
        );
    }

    #[test]
    fn clocks_files_and_chance_are_for_impure_modules() {
        let text = "use std::collections::HashMap;\nuse std::{fmt, fs};\nuse std::time::{Duration, Instant};\n";
        assert_eq!(
            layer_faults("world", text),
            [
                ":2: `world` is pure and may not use `std::fs`",
                ":1: `world` is pure and may not use `HashMap`",
                ":3: `world` is pure and may not use `Instant`",
            ]
        );
        assert_eq!(layer_faults("procfs", text), Vec::<String>::new());
    }

    #[test]
    fn work_put_off_and_tests_switched_off_are_faults() {
        let text = format!("// {} this\n{}]\nfn f() {{}}\n", PUT_OFF[0], SWITCHED_OFF);
        assert_eq!(house_faults(&text, MAX_LINES).len(), 2);
        assert_eq!(
            house_faults("let todos = 1; // TODOS\n", MAX_LINES),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_file_has_at_most_the_agreed_length() {
        assert_eq!(
            house_faults(&"\n".repeat(MAX_LINES), MAX_LINES),
            Vec::<String>::new()
        );
        assert_eq!(
            house_faults(&"\n".repeat(MAX_LINES + 1), MAX_LINES).len(),
            1
        );
    }
}
