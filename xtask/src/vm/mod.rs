//! `cargo xtask vm`: the live tests on other kernels, in virtual machines, with
//! each backend.

mod arch;
mod archive;
mod cross;
mod debian;
mod guest;
mod image;
pub mod instructions;
mod kernels;
mod lab;
mod log;
mod matrix;
mod programs;
mod record;
pub mod service;
mod site;
mod suite;
mod userland;

use std::env;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

pub use self::arch::{ARM64, Arch, NATIVE};
pub use self::cross::Cross;
use self::debian::Debian;
use self::kernels::{Kernel, Name};
use self::lab::Lab;
use self::site::{Ground, Site};
use self::suite::BACKENDS;
use crate::workspace::Workspace;
use crate::{ebpf, exec, packages};

/// What is run, and how.
#[derive(clap::Args)]
pub struct Options {
    /// Series of kernels, as in `6.12` or `arm64-6.12`, or `newest`; without any, a choice of all
    /// that are maintained
    kernels: Vec<String>,
    /// Only with this backend, or only the doctor; repeatable
    #[arg(long = "backend", value_name = "BACKEND", value_parser = clap::builder::PossibleValuesParser::new(BACKENDS))]
    backends: Vec<String>,
    /// Only what every change must pass: the essential tests, and fewer kernels unless they are
    /// named
    #[arg(long)]
    ci: bool,
    /// Record what the doctor says, and how hard the verifier works, where they are asked
    #[arg(long)]
    bless: bool,
    /// Run nothing: tell which kernels there are, and which tests a backend must pass
    #[arg(long)]
    list: bool,
    /// Look for newer kernels and programs than those fetched before
    #[arg(long)]
    update: bool,
    /// How many machines run at the same time; without this, two on each core
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
}

impl Options {
    fn kernels(&self) -> Vec<Name<'_>> {
        let names: Vec<&str> = match self.kernels.as_slice() {
            [] if self.ci => kernels::CI.to_vec(),
            [] => kernels::ALL.to_vec(),
            named => named.iter().map(String::as_str).collect(),
        };
        names.into_iter().map(Name::parse).collect()
    }

    fn backends(&self) -> Vec<&'static str> {
        let is_wanted = |backend: &&&str| {
            self.backends.is_empty() || self.backends.iter().any(|wanted| wanted == **backend)
        };
        BACKENDS.iter().filter(is_wanted).copied().collect()
    }

    fn jobs(&self) -> usize {
        // A guest waits for more than half of its time.
        let cores = || thread::available_parallelism().map_or(1, NonZero::get);
        self.jobs.map_or_else(|| 2 * cores(), NonZero::get)
    }

    /// Whether the result is the whole matrix.
    fn is_all(&self) -> bool {
        self.kernels.is_empty() && self.backends.is_empty() && !self.ci
    }
}

/// Fetches, builds, runs, and tells.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let cache = cache_folder()?;
    let folder = workspace.target.join("vm");
    ebpf::ensure(workspace)?;
    let native = programs::build(workspace, &NATIVE, None)?;
    let tests = programs::tests(&native)?;
    if options.list {
        return list(options, &cache, &tests);
    }

    let names = options.kernels();
    let is_wanted = |arch: &&'static Arch| names.iter().any(|name| name.arch.debian == arch.debian);
    let archs: Vec<&'static Arch> = arch::ALL.iter().copied().filter(is_wanted).collect();
    if !exec::is_installed("apt-get") || !exec::is_installed("dpkg") {
        bail!(
            "the kernels are packages of Debian, and there is no apt-get here\n\
             hint: run this on Debian, or in a container of it"
        );
    }
    let needs = archs.iter().flat_map(|arch| arch.needs);
    packages::provide("vm", archive::PROGRAMS.iter().chain(needs))?;
    let ground = Ground {
        workspace,
        cache: &cache,
        folder: &folder,
        update: options.update,
    };
    let sites = archs
        .iter()
        .map(|arch| Site::prepare(&ground, arch, &names))
        .collect::<Result<Vec<_>>>()?;
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let logs = folder.join("logs").join(&now);
    let records = workspace.root.join("tests/kernels");
    let lab = Lab::open(&sites, logs, records)?;
    let backends = options.backends();
    let cells = lab.fill(&backends, &tests, options)?;

    let date = now.split('T').next().unwrap_or_default();
    let machines: Vec<String> = sites.iter().map(Site::machine).collect::<Result<_>>()?;
    let with = format!("{date}; {}.", machines.join("; "));
    let kernels: Vec<&Kernel> = sites.iter().flat_map(|site| &site.kernels).collect();
    let table = matrix::table(&with, &kernels, &backends, &cells);
    println!("{table}");
    if options.is_all() {
        matrix::write(&workspace.root, &table)?;
    }
    match cells.iter().filter(|cell| !cell.passed()).count() {
        0 => Ok(()),
        failed => bail!(
            "{failed} of {} cells did not pass\nhint: what the guests printed is in {}",
            cells.len(),
            lab.logs.display()
        ),
    }
}

fn list(options: &Options, cache: &Path, tests: &[String]) -> Result<()> {
    for name in options.kernels() {
        let folder = cache.join(name.arch.debian).join("kernels");
        match Kernel::fetched(&folder, name)? {
            Some(Kernel { package, .. }) => {
                println!("{name}: {} {}", package.name, package.version);
            }
            None => println!("{name}: not fetched yet"),
        }
    }
    for backend in options.backends() {
        println!("{backend}:");
        for run in suite::runs(backend, tests, options.ci)? {
            run.tests.iter().for_each(|test| println!("    {test}"));
        }
    }
    Ok(())
}

/// What it takes to compile for an architecture, fetched where it is missing.
pub fn provide_cross(chore: &str, arch: &Arch) -> Result<Option<Cross>> {
    let needs = arch
        .needs
        .iter()
        .filter(|(program, _)| *program != arch.qemu);
    packages::provide(chore, needs)?;
    let cache = cache_folder()?.join(arch.debian);
    Cross::provide(&cache, &Debian::new(cache.join("apt"), arch)?, arch)
}

/// Where what is fetched stays, whatever is built or cleaned.
fn cache_folder() -> Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cache")))
        .context("no place for kernels: neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("pipewatch-vm"))
}
