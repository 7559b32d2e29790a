//! What a person sees.

use pipewatch_tests::{Program, pipewatch, pipewatch_running, require_root, scenario};

#[test]
fn the_demo_shows_a_hang_that_comes_and_goes() {
    require_root();
    let output = Program::run(pipewatch(&["demo"]));
    assert_eq!(output.code, 0, "{output:?}");
    for word in ["leaked", "fork", "resolved"] {
        assert!(
            output.stdout.contains(word),
            "no {word} in\n{}",
            output.stdout
        );
    }
}

#[test]
fn a_narrow_terminal_is_enough() {
    require_root();
    let mut command = pipewatch_running(&["--exit-on-hang"], &scenario(&["fork-race", "--now"]));
    command.env("COLUMNS", "60");
    let output = Program::run(command);
    let report = output
        .stdout
        .lines()
        .filter(|line| !line.contains(r#""fact""#));
    let too_wide: Vec<&str> = report.filter(|line| line.chars().count() > 60).collect();
    assert_eq!(too_wide, [""; 0], "in\n{}", output.stdout);
    assert!(output.stdout.contains("leaked"), "{output:?}");
}
