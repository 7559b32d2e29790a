//! Writes the manual pages and the completions of shells, which `cargo xtask dist`
//! packs: `cargo run --example pages -- FOLDER DATE`. Options are told as the command
//! line declares them, all else by `pipewatch/pages`.

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use pipewatch::cli::Cli;
use textwrap::{Options, WordSplitter};

/// What stands before and after the options of each command.
const TEXTS: [(&str, &str); 7] = [
    ("pipewatch", include_str!("../pages/pipewatch.roff")),
    ("pipewatch-demo", include_str!("../pages/demo.roff")),
    ("pipewatch-snapshot", include_str!("../pages/snapshot.roff")),
    ("pipewatch-top", include_str!("../pages/top.roff")),
    ("pipewatch-release", include_str!("../pages/release.roff")),
    ("pipewatch-replay", include_str!("../pages/replay.roff")),
    ("pipewatch-doctor", include_str!("../pages/doctor.roff")),
];

/// The first section after the options.
const AFTER: &str = ".SH EXIT STATUS\n";

/// What each piece that is rendered begins with.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, date] = arguments.as_slice() else {
        bail!("usage: pages FOLDER DATE");
    };
    let folder = Path::new(folder);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = shown(&Cli::command());
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command, "pipewatch", folder)
            .with_context(|| format!("cannot write the completion of {shell}"))?;
    }
    for command in command.get_subcommands().chain([&command]) {
        write_page(command, folder, date)
            .with_context(|| format!("cannot write the page of {}", command.get_name()))?;
    }
    Ok(())
}

/// The command without what is hidden, which completions would offer.
fn shown(command: &Command) -> Command {
    let subcommands = command.get_subcommands().filter(|it| !it.is_hide_set());
    Command::new("pipewatch")
        .version(env!("CARGO_PKG_VERSION"))
        .about(command.get_about().cloned().unwrap_or_default())
        .override_usage(command.get_overridden_usage().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .subcommand_help_heading("COMMANDS")
        .args(command.get_arguments())
        .subcommands(subcommands)
}

fn write_page(command: &Command, folder: &Path, date: &str) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let text = TEXTS.iter().find(|(page, _)| *page == name);
    let (_, text) = text.with_context(|| format!("pipewatch/pages has no text of {name}"))?;
    let after = text.find(AFTER).context("its text has no exit status")?;
    let (before, after) = text.split_at(after);

    let page = Man::new(command.clone().mut_args(with_values))
        .title(name.to_uppercase())
        .source(concat!("pipewatch ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands")
        .date(date);
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    out.extend(before.bytes());
    page.render_options_section(&mut out)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut out)?;
    }
    out.extend(after.bytes());
    let text = String::from_utf8(out)?.replace(PREAMBLE, "");
    let file = folder.join(page.get_filename());
    fs::write(&file, PREAMBLE.to_owned() + &wrap(&text))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// The values that an option takes in its text, not as a list of lines.
fn with_values(arg: Arg) -> Arg {
    let values = arg.get_possible_values();
    let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
    let Some(help) = arg.get_help().filter(|_| arg.get_action().takes_values()) else {
        return arg;
    };
    if names.is_empty() {
        return arg;
    }
    let help = format!("{help} ({})", names.join(", "));
    arg.help(help).hide_possible_values(true)
}

/// The page in lines that are not too long; a macro stays on its line, and examples
/// are short.
fn wrap(text: &str) -> String {
    let options = Options::new(80).word_splitter(WordSplitter::NoHyphenation);
    let mut wrapped = String::new();
    for line in text.lines() {
        let lines = match line.starts_with('.') {
            true => vec![line.into()],
            false => textwrap::wrap(line.trim_end(), &options),
        };
        for line in lines {
            wrapped.push_str(&line);
            wrapped.push('\n');
        }
    }
    wrapped
}
