//! A user without rights.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Program, pipewatch, require_root};

/// The user and group that own nothing.
pub const NOBODY: u32 = 65534;

/// A user without rights, and a folder of programs that they may execute.
pub struct User {
    folder: TempDir,
}

impl User {
    /// Nobody, as root may become them.
    #[expect(clippy::new_without_default, reason = "it needs root")]
    pub fn new() -> Self {
        require_root();
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
        Self { folder }
    }

    /// A folder that everybody may write to.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command as that user runs it.
    pub fn command(&self, command: &Command) -> Command {
        self.privileged(&[], command)
    }

    /// A command as that user runs it who was given some capabilities and can get no
    /// others.
    pub fn capable(&self, names: &[&str], command: &Command) -> Command {
        let names = names.iter().map(|name| format!("+{name}"));
        let all: Vec<String> = ["-all".to_owned()].into_iter().chain(names).collect();
        let all = all.join(",");
        let sets = ["inh-caps", "ambient-caps", "bounding-set"];
        self.privileged(&sets.map(|set| format!("--{set}={all}")), command)
    }

    fn privileged(&self, options: &[String], command: &Command) -> Command {
        let mut as_user = Command::new("setpriv");
        let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        as_user.args(ids).arg("--clear-groups").args(options);
        as_user
            .arg(self.reachable(command))
            .args(command.get_args());
        as_user.current_dir(self.folder());
        as_user
    }

    /// The command's program, or a copy: the folder of what was built may be
    /// closed to others. Copied by a process of its own, since a program that
    /// this one has open for writing cannot be started.
    pub fn reachable(&self, command: &Command) -> PathBuf {
        let program = PathBuf::from(command.get_program());
        let Some(name) = program.file_name().filter(|_| program.is_absolute()) else {
            return program;
        };
        let copy = self.folder().join(name);
        if !copy.exists() {
            let mut cp = Command::new("cp");
            cp.arg(&program).arg(&copy);
            assert_eq!(Program::run(cp).code, 0, "cp");
        }
        copy
    }

    /// Starts a command as that user.
    pub fn start(&self, command: &Command) -> Program {
        Program::start(self.command(command))
    }

    /// A pipewatch as that user runs it.
    pub fn pipewatch(&self, args: &[&str]) -> Command {
        self.command(&pipewatch(args))
    }
}
