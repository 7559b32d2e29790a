//! Stacks in words: which frames are the program's own, and what the others are
//! part of. Those of a runtime are folded: a person looks for the line that he
//! wrote.

use crate::{
    finding::{Act, Details},
    stack::{Frame, FrameKind},
};

/// So many rows show a stack.
const ROWS: usize = 8;
/// What is folded under this name says nothing of where a program is.
const C_LIBRARY: &str = "the C library";
/// Nor under this one.
const RUST_LIBRARY: &str = "std";
/// So many characters of a name say enough.
const NAME: usize = 36;

/// Where something was done, if known.
pub(super) fn stack(act: Act, details: &dyn Details) -> &[Frame] {
    details.sights().of_act(act.time, act.actor.tid)
}

/// The place in the program's own code that a stack tells, to be put behind what
/// was done there.
pub(super) fn at(stack: &[Frame]) -> String {
    telling(stack).map_or_else(String::new, |place| format!(" at {place}"))
}

/// The place that says most to the program's author: the innermost of its own
/// code, with a source line if any has one; or else of a runtime, but the C and
/// Rust libraries, which only do what they are told.
fn telling(stack: &[Frame]) -> Option<String> {
    let own = || stack.iter().filter(|frame| is_own(frame));
    let with_line = own().find(|frame| frame.line.is_some());
    let of_runtime = |frame: &&Frame| {
        library(frame).is_some_and(|library| ![C_LIBRARY, RUST_LIBRARY].contains(&library))
    };
    let runtime = || stack.iter().find(of_runtime);
    let frame = with_line.or_else(|| own().next()).or_else(runtime)?;
    place(frame)
}

/// A row for each frame of the program's own and for each run of frames of a
/// library, innermost first, as far as the program's own reach. Where there are
/// frames of Python, those of its interpreter tell nothing more.
pub(super) fn rows(stack: &[Frame]) -> Vec<String> {
    let known = stack.iter().take_while(|frame| frame.function.is_some());
    let known = known.count();
    let last_own = stack[..known].iter().rposition(is_own);
    let mut told = stack[..last_own.map_or(known, |last| last + 1)].to_vec();
    if told.iter().any(|frame| frame.kind == FrameKind::Python) {
        told.retain(|frame| !is_interpreter(frame));
    }
    let runs = told.chunk_by(|frame, next| {
        let library = library(frame);
        library.is_some() && library == self::library(next)
    });
    let mut rows: Vec<String> = runs.filter_map(run).take(ROWS).collect();
    if last_own.is_none() && known < stack.len() && known > 0 {
        rows.push("called from where, is not known".to_owned());
    }
    rows
}

/// The innermost place of a run, and how many frames are folded into it.
fn run(frames: &[Frame]) -> Option<String> {
    let (first, others) = frames.split_first()?;
    let place = place(first)?;
    Some(match (library(first), others.len()) {
        (Some(library), 1..) => format!("{place}, {} more of {library}", others.len()),
        (Some(_) | None, _) => place,
    })
}

fn is_interpreter(frame: &Frame) -> bool {
    let module = frame.module.as_deref().map_or("", name);
    module.starts_with("python") || module.starts_with("libpython")
}

fn is_own(frame: &Frame) -> bool {
    frame.function.is_some() && library(frame).is_none()
}

/// What a frame is part of, if not of the program itself.
fn library(frame: &Frame) -> Option<&str> {
    match frame.kind {
        FrameKind::Python => python_library(frame.file.as_deref()?),
        FrameKind::Native => native_library(frame),
    }
}

/// The module of Python's own library that a file belongs to.
fn python_library(file: &str) -> Option<&str> {
    if file.starts_with("<frozen ") {
        return Some("importlib");
    }
    if file.contains("/billiard/") {
        return Some("billiard");
    }
    let installed = ["/lib/python", "/lib64/python"];
    let (_, inside) = installed.iter().find_map(|place| file.split_once(place))?;
    let (_version, inside) = inside.split_once('/')?;
    let added = ["site-packages/", "dist-packages/"];
    if added.iter().any(|folder| inside.starts_with(folder)) {
        return None;
    }
    let module = inside.split('/').next()?;
    Some(module.strip_suffix(".py").unwrap_or(module))
}

/// The library, or part of a runtime, that a native frame belongs to.
fn native_library(frame: &Frame) -> Option<&str> {
    const C: [&str; 7] = [
        "libc.so",
        "libc-",
        "libpthread",
        "ld-linux",
        "ld-musl",
        "[vdso]",
        "libgcc_s",
    ];
    const RUNTIMES: [&str; 5] = ["libjvm", "libnode", "libruby", "libperl", "libstdc++"];
    const RUST: [&str; 7] = [
        "std::", "core::", "alloc::", "<std::", "<core::", "<alloc::", "__rust",
    ];
    let module = frame.module.as_deref().map_or("", name);
    if C.iter().any(|library| module.starts_with(library)) {
        return Some(C_LIBRARY);
    }
    if is_interpreter(frame) || RUNTIMES.iter().any(|runtime| module.starts_with(runtime)) {
        return Some(module);
    }
    if ["node", "java", "ruby", "perl"].contains(&module) {
        return Some(module);
    }
    let function = frame.function.as_deref().unwrap_or_default();
    let file = frame.file.as_deref().unwrap_or_default();
    if file.starts_with("/rustc/") || RUST.iter().any(|part| function.starts_with(part)) {
        return Some(RUST_LIBRARY);
    }
    if file.contains("/go/src/") || function.starts_with("runtime.") {
        return Some("Go's library");
    }
    // What the linker adds to each program.
    (function == "_start").then_some(C_LIBRARY)
}

/// `agent.py:12 in starter`, or as much of it as is known.
fn place(frame: &Frame) -> Option<String> {
    let file = frame.file.as_deref();
    let file = file.map(|file| match library(frame) {
        Some(_) => name(file).to_owned(),
        None => short_path(file),
    });
    let function = frame.function.as_deref().map(short_name);
    let module = frame.module.as_deref().map(name);
    Some(match (file, frame.line, function, module) {
        (Some(file), Some(line), Some(function), _) => format!("{file}:{line} in {function}"),
        (Some(file), Some(line), None, _) => format!("{file}:{line}"),
        (Some(file), None, Some(function), _) => format!("{function} ({file})"),
        (Some(file), None, None, _) => file,
        (None, _, Some(function), Some(module)) => format!("{function} (in {module})"),
        (None, _, Some(function), None) => function,
        (None, _, None, _) => return None,
    })
}

/// The last part of a path.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// So much of a path that one knows which file is meant.
fn short_path(path: &str) -> String {
    let mut parts = path.rsplit('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(folder), Some(_)) if path.chars().count() > NAME => {
            format!("…/{}", capped(&format!("{folder}/{file}")))
        }
        _ => path.to_owned(),
    }
}

/// The end of a qualified name, which tells most.
fn short_name(function: &str) -> String {
    if function.chars().count() <= NAME || function.contains('<') {
        return capped(function);
    }
    let mut parts = function.rsplitn(3, "::");
    match (parts.next(), parts.next(), parts.next()) {
        (Some(last), Some(before), Some(_)) => capped(&format!("{before}::{last}")),
        _ => capped(function),
    }
}

fn capped(text: &str) -> String {
    if text.chars().count() <= NAME {
        return text.to_owned();
    }
    let end: Vec<char> = text.chars().rev().take(NAME - 1).collect();
    std::iter::once('…').chain(end.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(file: &str, line: u32, function: &str) -> Frame {
        Frame {
            kind: FrameKind::Python,
            function: Some(function.to_owned()),
            file: Some(file.to_owned()),
            line: Some(line),
            ..Frame::default()
        }
    }

    fn native(module: &str, function: &str) -> Frame {
        Frame {
            function: Some(function.to_owned()),
            module: Some(module.to_owned()),
            ..Frame::default()
        }
    }

    /// The story: a thread waits within `Popen`.
    fn popen() -> Vec<Frame> {
        let lib = "/usr/lib/python3.11";
        vec![
            native("/usr/lib/libc.so.6", "read"),
            native("/usr/bin/python3.11", "_Py_read"),
            native("/usr/bin/python3.11", "os_read"),
            python(
                &format!("{lib}/subprocess.py"),
                1950,
                "Popen._execute_child",
            ),
            python(&format!("{lib}/subprocess.py"), 1026, "Popen.__init__"),
            python("/srv/agent.py", 12, "starter"),
            python(&format!("{lib}/threading.py"), 975, "Thread.run"),
            native("/usr/lib/libc.so.6", "clone3"),
        ]
    }

    #[test]
    fn libraries_are_folded_and_own_code_stands_out() {
        assert_eq!(at(&popen()), " at /srv/agent.py:12 in starter");
        assert_eq!(
            rows(&popen()),
            [
                "read (in libc.so.6)",
                "subprocess.py:1950 in Popen._execute_child, 1 more of subprocess",
                "/srv/agent.py:12 in starter",
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_said() {
        let cut = [native("/usr/lib/libc.so.6", "read"), Frame::default()];
        let expected = ["read (in libc.so.6)", "called from where, is not known"];
        assert_eq!(rows(&cut), expected);
        assert_eq!(at(&cut), "");
        assert_eq!(at(&popen()[1..2]), " at _Py_read (in python3.11)");
        let bare = Frame {
            address: Some(1),
            ..Frame::default()
        };
        assert_eq!(rows(std::slice::from_ref(&bare)), [""; 0]);
        assert_eq!(at(&[bare]), "");
        assert_eq!(at(&[]), "");
    }

    #[test]
    fn a_source_line_tells_more_than_a_name() {
        let mut line = native("/srv/prog", "main");
        line.file = Some("main.c".to_owned());
        line.line = Some(7);
        let frames = [native("/srv/libown.so", "wait_for"), line];
        assert_eq!(at(&frames), " at main.c:7 in main");
        assert_eq!(at(&frames[..1]), " at wait_for (in libown.so)");
    }

    #[test]
    fn whose_code_it_is() {
        let of = |file: &str| python_library(file).map(str::to_owned);
        let lib = "/root/versions/3.12.1/lib/python3.12";
        assert_eq!(
            of(&format!("{lib}/multiprocessing/popen_fork.py")).as_deref(),
            Some("multiprocessing")
        );
        assert_eq!(of(&format!("{lib}/site-packages/app/x.py")), None);
        assert_eq!(of("<frozen runpy>").as_deref(), Some("importlib"));
        assert_eq!(of("agent.py"), None);
        let mut rust = native("/srv/prog", "read<u8>");
        assert_eq!(native_library(&rust), None);
        rust.file = Some("/rustc/abc/library/std/src/fs.rs".to_owned());
        assert_eq!(native_library(&rust), Some("std"));
        assert_eq!(
            native_library(&native("/srv/prog", "_start")),
            Some(C_LIBRARY)
        );
    }

    #[test]
    fn long_names_keep_their_end() {
        let function = "some_crate::some_module::another_one::function::{closure#0}";
        assert_eq!(short_name(function), "function::{closure#0}");
        let path = "/home/somebody/projects/service/src/workers/agent.py";
        assert_eq!(short_path(path), "…/workers/agent.py");
        assert_eq!(capped(&"x".repeat(50)).chars().count(), NAME);
    }
}
