//! One stack out of the native one and that of Python, and where in it a process
//! was forked.

use super::python;
use crate::stack::{Frame, FrameKind};

/// Sources of the functions that fork for `multiprocessing` and its relatives: a
/// child of theirs never returns from there.
const FORKING: [&str; 4] = [
    "multiprocessing/popen_fork.py",
    "multiprocessing/forking.py",
    "billiard/popen_fork.py",
    "billiard/forking.py",
];

/// A last frame that says that there are more.
fn more() -> Frame {
    Frame::default()
}

/// `frames`, which are all there are or not.
pub(super) fn ended(mut frames: Vec<Frame>, complete: bool) -> Vec<Frame> {
    if !complete && !frames.is_empty() {
        frames.push(more());
    }
    frames
}

/// Puts the frames of Python in the place of the interpreter's function that runs
/// them. Where native frames are missing, Python's come after those that are there.
pub(super) fn merge(native: Vec<Frame>, python: python::Stack) -> Vec<Frame> {
    if python.frames.is_empty() {
        return native;
    }
    let evaluations = native.iter().filter(|frame| is_evaluation(frame)).count();
    let mut python_frames = python.frames.into_iter();
    if evaluations > python.runs.len() {
        // They do not belong together one by one.
        let before = native.into_iter().take_while(|frame| !is_evaluation(frame));
        return before.chain(python_frames).collect();
    }
    let mut runs = python.runs.into_iter();
    let mut merged = Vec::new();
    let mut rest = Vec::new();
    for frame in native {
        if is_evaluation(&frame) {
            merged.append(&mut rest);
            merged.extend(python_frames.by_ref().take(runs.next().unwrap_or(0)));
        } else {
            rest.push(frame);
        }
    }
    if python_frames.len() > 0 && rest.last() == Some(&more()) {
        // The native stack breaks off before these.
        rest.pop();
        merged.append(&mut rest);
    }
    merged.extend(python_frames);
    merged.append(&mut rest);
    merged
}

/// The native function that runs Python's, under the names it has had since 2.7.
/// The compiler makes parts of it functions of their own.
fn is_evaluation(frame: &Frame) -> bool {
    let function = frame.function.as_deref().unwrap_or_default();
    let function = function.split('.').next().unwrap_or_default();
    matches!(function, "PyEval_EvalFrameEx" | "_PyEval_EvalFrameDefault")
}

/// Where a process was forked that has not run another program since: what is on
/// its own stack since then. `child` is its stack of Python, `parent` that of the
/// thread that forked it, if both are known.
///
/// The line of the function that forked is not known, since it has gone on; of
/// those that called it, it is.
pub(super) fn fork_site(child: &[Frame], parent: &[Frame]) -> Vec<Frame> {
    let forks = |frame: &Frame| {
        let file = frame.file.as_deref().unwrap_or_default();
        FORKING.iter().any(|forking| file.ends_with(forking))
    };
    if let Some(forking) = child.iter().position(forks) {
        return without_first_line(&child[forking..]);
    }
    // Both have gone on in the function that forked, at lines of their own.
    let pairs = child.iter().rev().zip(parent.iter().rev());
    let waiting = pairs.clone().take_while(|(child, parent)| child == parent);
    let waiting = waiting.count();
    let forked = pairs.clone().nth(waiting).filter(|(child, parent)| {
        child.function.is_some()
            && (&child.function, &child.file) == (&parent.function, &parent.file)
    });
    match forked {
        Some(_) => without_first_line(&child[child.len() - waiting - 1..]),
        None => Vec::new(),
    }
}

fn without_first_line(frames: &[Frame]) -> Vec<Frame> {
    let mut frames = frames.to_vec();
    if let Some(first) = frames.first_mut() {
        first.line = None;
    }
    frames
}

/// The frames of Python in a stack.
pub(super) fn python_of(frames: &[Frame]) -> Vec<Frame> {
    let python = frames
        .iter()
        .filter(|frame| frame.kind == FrameKind::Python);
    python.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(names: &[&str]) -> Vec<Frame> {
        let frame = |name: &&str| Frame {
            function: (!name.is_empty()).then(|| (*name).to_owned()),
            ..Frame::default()
        };
        names.iter().map(frame).collect()
    }

    /// Frames written as `function:line`, all in one file.
    fn python(file: &str, places: &[&str]) -> Vec<Frame> {
        let frame = |place: &&str| {
            let (function, line) = place.split_once(':').expect("function:line");
            Frame {
                kind: FrameKind::Python,
                function: Some(function.to_owned()),
                file: Some(file.to_owned()),
                line: line.parse().ok(),
                ..Frame::default()
            }
        };
        places.iter().map(frame).collect()
    }

    fn stack(places: &[&str], runs: &[usize]) -> python::Stack {
        python::Stack {
            frames: python("a.py", places),
            runs: runs.to_vec(),
        }
    }

    fn names(frames: &[Frame]) -> Vec<&str> {
        frames
            .iter()
            .map(|frame| frame.function.as_deref().unwrap_or_default())
            .collect()
    }

    #[test]
    fn python_runs_in_the_place_of_the_interpreter() {
        let eval = "_PyEval_EvalFrameDefault";
        let all = native(&["read", "os_read", eval, "call", eval, "main", "_start"]);
        let merged = merge(all, stack(&["a:1", "b:2", "c:3"], &[2, 1]));
        let expected = ["read", "os_read", "a", "b", "call", "c", "main", "_start"];
        assert_eq!(names(&merged), expected);
    }

    #[test]
    fn a_native_stack_that_is_cut_leaves_python_whole() {
        let eval = "_PyEval_EvalFrameDefault.cold";
        let cut = native(&["read", eval, "call", ""]);
        let merged = merge(cut, stack(&["a:1", "b:2"], &[1, 1]));
        assert_eq!(names(&merged), ["read", "a", "call", "b"]);
        let merged = merge(native(&["read", ""]), stack(&["a:1", "b:2"], &[1, 1]));
        assert_eq!(names(&merged), ["read", "a", "b"]);
        let merged = merge(Vec::new(), stack(&["a:1"], &[1]));
        assert_eq!(names(&merged), ["a"]);
        let merged = merge(native(&["read"]), python::Stack::default());
        assert_eq!(names(&merged), ["read"]);
    }

    #[test]
    fn what_does_not_fit_is_not_forced_together() {
        let eval = "PyEval_EvalFrameEx";
        let all = native(&["read", eval, "x", eval, "main"]);
        let merged = merge(all, stack(&["a:1"], &[1]));
        assert_eq!(names(&merged), ["read", "a"]);
    }

    #[test]
    fn a_child_of_multiprocessing_shows_where_it_was_started() {
        let mut child = python("agent.py", &["work:5"]);
        child.extend(python(
            "/lib/multiprocessing/process.py",
            &["_bootstrap:314"],
        ));
        child.extend(python(
            "/lib/multiprocessing/popen_fork.py",
            &["_launch:71", "__init__:19"],
        ));
        child.extend(python("agent.py", &["main:9"]));
        let site = fork_site(&child, &[]);
        assert_eq!(names(&site), ["_launch", "__init__", "main"]);
        let lines: Vec<_> = site.iter().map(|frame| frame.line).collect();
        assert_eq!(lines, [None, Some(19), Some(9)]);
    }

    #[test]
    fn a_bare_fork_is_where_parent_and_child_part() {
        let child = python("a.py", &["sleep:40", "forks:31", "run:7", "main:2"]);
        let parent = python("a.py", &["forks:35", "run:7", "main:2"]);
        let site = fork_site(&child, &parent);
        assert_eq!(names(&site), ["forks", "run", "main"]);
        let lines: Vec<_> = site.iter().map(|frame| frame.line).collect();
        assert_eq!(lines, [None, Some(7), Some(2)]);
    }

    #[test]
    fn where_nothing_tells_nothing_is_said() {
        let child = python("a.py", &["work:4", "main:2"]);
        assert_eq!(fork_site(&child, &[]), []);
        assert_eq!(
            fork_site(&child, &python("a.py", &["other:1", "main:2"])),
            []
        );
        assert_eq!(fork_site(&[], &child), []);
    }
}
