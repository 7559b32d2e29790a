//! What a guest finds: the programs, and a script that runs the tests.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::archive;
use super::log::{ABSENT, BEGIN, DOCTOR, END, SKIP};
use super::programs::Programs;
use super::suite::{DOCTORS, Run};
use crate::workspace::Workspace;

/// Where the programs lie.
pub const FOLDER: &str = "pipewatch";

/// The first process.
const INIT: &str = include_str!("init.sh");

/// How long a test, or the doctor, may take, in seconds.
pub const TEST_SECONDS: u64 = 120;

/// After how many failures the rest is left alone: where a backend does not
/// work at all, each test would take its time to find that out.
const MAX_FAILURES: u32 = 4;

/// The archives that all guests have.
pub struct Image {
    /// Debian's programs, and ours.
    archives: Vec<PathBuf>,
}

impl Image {
    /// Packs our programs below `folder`, to be used with Debian's.
    pub fn build(
        workspace: &Workspace,
        folder: &Path,
        userland: PathBuf,
        programs: &Programs,
    ) -> Result<Self> {
        let tree = tempfile::tempdir().context("cannot make a folder")?;
        let root = tree.path();
        write(&root.join("init"), INIT)?;
        write(&root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n")?;
        for (name, file) in &programs.files {
            copy(file, &root.join(FOLDER).join(name))?;
        }
        // The tests know this folder by its name at compile time.
        let scripts = workspace.root.join("tests/py");
        let inside = scripts.strip_prefix("/").unwrap_or(&scripts);
        for entry in
            fs::read_dir(&scripts).with_context(|| format!("cannot list {}", scripts.display()))?
        {
            let path = entry.context("cannot list the scripts")?.path();
            if path.is_file() {
                let name = path.file_name().unwrap_or_default();
                copy(&path, &root.join(inside).join(name))?;
            }
        }
        let ours = folder.join("programs.zst");
        make_folder_of(&ours)?;
        archive::pack(root, &ours, archive::FAST)?;
        Ok(Self::of(vec![userland, ours]))
    }

    /// Of archives that are there.
    pub fn of(archives: Vec<PathBuf>) -> Self {
        Self { archives }
    }

    /// Writes the image of a guest that runs this script.
    pub fn write(&self, into: &Path, script: &str) -> Result<()> {
        let tree = tempfile::tempdir().context("cannot make a folder")?;
        write(&tree.path().join("run.sh"), script)?;
        self.write_with(into, tree.path())
    }

    /// Writes the image of a guest that has these files too.
    pub fn write_with(&self, into: &Path, tree: &Path) -> Result<()> {
        let own = into.with_extension("run");
        archive::pack(tree, &own, archive::FAST)?;
        let mut image =
            fs::File::create(into).with_context(|| format!("cannot write {}", into.display()))?;
        for part in self.archives.iter().chain([&own]) {
            let mut part =
                fs::File::open(part).with_context(|| format!("cannot read {}", part.display()))?;
            io::copy(&mut part, &mut image)
                .with_context(|| format!("cannot write {}", into.display()))?;
        }
        fs::remove_file(&own).with_context(|| format!("cannot remove {}", own.display()))
    }
}

/// What a guest is to do.
pub struct Job {
    /// How many times slower than real hardware it is.
    pub slowness: u32,
    /// Whether to ask the doctor.
    pub doctor: bool,
    /// The tests.
    pub runs: Vec<Run>,
}

impl Job {
    /// How many tests, and questions to the doctor, there are.
    pub fn commands(&self) -> usize {
        let tests: usize = self.runs.iter().map(|run| run.tests.len()).sum();
        tests + if self.doctor { DOCTORS.len() } else { 0 }
    }
}

/// The doctor, then each test by itself, framed by lines that are read again
/// from the log. Where pipewatch says that a backend is not to be had, there is
/// nothing to be tested; any other refusal is left to the tests.
pub fn script(job: &Job) -> String {
    let mut script = format!(
        "#!/bin/sh\n\
         cd /{FOLDER}\n\
         failures=0\n\
         run() {{\n\
             if [ $failures -eq {MAX_FAILURES} ]; then echo \"{SKIP} $1\"; return; fi\n\
             echo \"{BEGIN} $1\"\n\
             timeout -k 5 {TEST_SECONDS} ./live --test-threads 1 --exact \"$1\" 2>&1\n\
             status=$?\n\
             echo \"{END} $status\"\n\
             if [ $status -ne 0 ]; then failures=$((failures + 1)); fi\n\
         }}\n\
         has() {{\n\
             said=$(timeout -k 5 {TEST_SECONDS} ./pipewatch --all --duration 1ms --backend \"$1\" 2>&1 >/dev/null)\n\
             case $said in\n\
             \"error: $1 is not to be had here: \"*) echo \"{ABSENT} ${{said#*not to be had here: }}\" | head -n 1; return 1 ;;\n\
             esac\n\
         }}\n\
         export PIPEWATCH_TEST_SLOWNESS={}\n",
        job.slowness
    );
    for (name, how) in DOCTORS.iter().filter(|_| job.doctor) {
        script += &format!(
            "echo {BEGIN} {DOCTOR}{name}\n\
             timeout -k 5 {TEST_SECONDS} sh -c '{how}' './pipewatch doctor --format json'\n\
             echo \"{END} $?\"\n"
        );
    }
    for Run { backend, tests } in &job.runs {
        script += &match backend {
            Some(backend) => {
                format!("export PIPEWATCH_BACKEND={backend}\nif has {backend}; then\n")
            }
            None => "unset PIPEWATCH_BACKEND\nif true; then\n".to_owned(),
        };
        for test in tests {
            script += &format!("run {test}\n");
        }
        script += "fi\n";
    }
    script
}

/// Writes a program.
pub fn write(path: &Path, text: &str) -> Result<()> {
    make_folder_of(path)?;
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make_folder_of(to)?;
    fs::copy(from, to)
        .map(|_| ())
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn make_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
