//! The shapes of the tests, by name.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use pipewatch_tests::{Shape, shapes};

/// Prints all shapes, until nobody listens.
pub fn list() {
    let mut out = std::io::stdout().lock();
    for shape in shapes() {
        if writeln!(out, "{}", shape.describe()).is_err() {
            break;
        }
    }
}

/// Becomes the program that enacts the shape.
pub fn enact(name: &str) -> ExitCode {
    let Some(shape) = Shape::named(name) else {
        eprintln!("error: no shape has the name {name:?}");
        eprintln!("hint: `scenario list` prints all of them");
        return ExitCode::from(2);
    };
    let error = shape.command().exec();
    let program = shape.script.interpreter();
    eprintln!("error: cannot start {program}: {error}");
    eprintln!("hint: install it; {name} is written for it");
    ExitCode::from(2)
}
