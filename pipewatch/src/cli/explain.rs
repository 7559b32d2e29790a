//! What is wrong with a command line, in words, and what was perhaps meant.

use std::{error::Error as _, ffi::OsString};

use clap::{
    Command,
    error::{ContextKind, Error, ErrorKind},
};

use crate::problem::Problem;

/// So many letters wrong, missing, too many or swapped make a slip of the hand.
const SLIPS: usize = 2;

/// The parser's message on one line, and what to do.
pub(super) fn explain(error: &Error, arguments: &[OsString], command: &Command) -> Problem {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let message = paragraphs
        .next()
        .unwrap_or_default()
        .trim_start_matches("error:");
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let tip = paragraphs.find_map(|paragraph| paragraph.trim().strip_prefix("tip: "));
    // Of several the first; how to pass an option as a value helps nobody here.
    let tip = tip.and_then(|tip| tip.lines().next());
    let tip = tip.filter(|tip| !tip.starts_with("to pass "));

    let first = arguments.get(1).and_then(|first| first.to_str());
    let subcommand = first.and_then(|name| command.find_subcommand(name));
    let ours = error.source();
    let ours = ours.and_then(|source| source.downcast_ref::<Problem>());
    let hint = if let Some(Problem { hint, .. }) = ours {
        hint.clone()
    } else if let Some(tip) = tip {
        tip.to_owned()
    } else if error.kind() == ErrorKind::UnknownArgument {
        let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        unknown(&argument.unwrap_or_default(), command, subcommand)
    } else {
        see_help(subcommand)
    };
    Problem::new(message, hint)
}

fn see_help(subcommand: Option<&Command>) -> String {
    let name = subcommand.map_or_else(String::new, |command| format!(" {}", command.get_name()));
    format!("see `pipewatch{name} --help`")
}

/// What to do about an argument that there is none of.
fn unknown(argument: &str, command: &Command, subcommand: Option<&Command>) -> String {
    let is_option = argument.starts_with('-');
    let is_pid = argument.parse::<u32>().is_ok();
    match subcommand {
        Some(known) if is_option => {
            let shown = known.get_arguments().filter(|option| !option.is_hide_set());
            let options = shown.filter_map(|option| option.get_long());
            let options: Vec<String> = options.map(|name| format!("--{name}")).collect();
            let name = known.get_name();
            format!(
                "the options of `pipewatch {name}` are {}",
                options.join(", ")
            )
        }
        Some(known) if is_pid && known.get_arguments().any(|it| it.get_long() == Some("pid")) => {
            format!(
                "to name a process: `pipewatch {} --pid {argument}`",
                known.get_name()
            )
        }
        Some(_) => see_help(subcommand),
        None if is_option || argument == "help" => see_help(None),
        None if is_pid => format!("to watch that process: `pipewatch --pid {argument}`"),
        None => {
            let names = command
                .get_subcommands()
                .filter(|known| !known.is_hide_set());
            let nearest = names
                .map(|known| known.get_name())
                .map(|name| (strsim::osa_distance(argument, name), name))
                .min();
            match nearest {
                Some((0, name)) => {
                    format!("`pipewatch {name}` has options of its own, after its name")
                }
                Some((1..=SLIPS, name)) => format!("did you mean `pipewatch {name}`?"),
                _ => format!("to start a command and watch it: `pipewatch -- {argument}`"),
            }
        }
    }
}
