//! The room where the machines run: fills the cells of the matrix.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::Options;
use super::guest;
use super::image::{self, Job};
use super::kernels::Kernel;
use super::log::Log;
use super::matrix::Cell;
use super::record::Record;
use super::site::Site;
use super::suite::{self, DOCTOR};

/// Where they stand.
pub struct Lab<'a> {
    sites: &'a [Site],
    /// The folder that keeps what they print.
    pub logs: PathBuf,
    /// The folder of what is recorded of each kernel.
    records: PathBuf,
}

/// One cell to be filled.
struct Task<'a> {
    site: &'a Site,
    kernel: &'a Kernel,
    backend: &'static str,
    job: Job,
}

impl<'a> Lab<'a> {
    /// Makes the folder.
    pub fn open(sites: &'a [Site], logs: PathBuf, records: PathBuf) -> Result<Self> {
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        eprintln!("vm: what the guests print is in {}", logs.display());
        Ok(Self {
            sites,
            logs,
            records,
        })
    }

    /// Runs each kernel with each backend.
    pub fn fill(
        &self,
        backends: &[&'static str],
        tests: &[String],
        options: &Options,
    ) -> Result<Vec<Cell>> {
        let mut tasks = Vec::new();
        let kernels = self
            .sites
            .iter()
            .flat_map(|site| site.kernels.iter().map(move |kernel| (site, kernel)));
        for (site, kernel) in kernels {
            for backend in backends {
                let job = Job {
                    slowness: site.accel.slowness(),
                    doctor: *backend == DOCTOR,
                    runs: suite::runs(backend, tests, options.ci)?,
                };
                tasks.push(Task {
                    site,
                    kernel,
                    backend,
                    job,
                });
            }
        }
        let count = tasks.len();
        let left = Mutex::new(tasks.into_iter());
        let next = || left.lock().ok().and_then(|mut left| left.next());
        let cells = Mutex::new(Vec::new());
        let work = || -> Result<()> {
            while let Some(task) = next() {
                let cell = self.run(&task, options.bless)?;
                let mut cells = cells.lock().map_err(|_| died())?;
                eprintln!(
                    "vm: {}/{count} {} {}: {} ({} s)",
                    cells.len() + 1,
                    task.kernel.title(),
                    task.backend,
                    cell.say(),
                    cell.took.as_secs()
                );
                eprint!("{}", cell.log.complaints);
                cells.push(cell);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..options.jobs()).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| died())?)
        })?;
        cells.into_inner().map_err(|_| died())
    }

    /// Runs a guest, once more if it is the guest that failed.
    fn run(&self, task: &Task, bless: bool) -> Result<Cell> {
        let begin = Instant::now();
        let Task {
            kernel, backend, ..
        } = task;
        let name = format!("{}-{backend}", kernel.name);
        let mut log = self.boot(task, &name)?;
        if let Some(fault) = &log.fault {
            eprintln!("vm: {name}: {fault}; once more");
            log = self.boot(task, &format!("{name}-again"))?;
        }
        let mut differences = Vec::new();
        if task.job.doctor && log.fault.is_none() {
            let record = Record::of(&log.doctor, self.records.join(&kernel.name))?;
            if bless {
                record.write()?;
            }
            differences = record.differences()?;
        }
        Ok(Cell {
            kernel: kernel.name.clone(),
            backend,
            may_be_absent: suite::is_absent(&kernel.name, backend),
            log,
            differences,
            took: begin.elapsed(),
        })
    }

    fn boot(&self, task: &Task, name: &str) -> Result<Log> {
        let file = tempfile::NamedTempFile::new().context("cannot make a file")?;
        task.site
            .image
            .write(file.path(), &image::script(&task.job))?;
        let path = self.logs.join(format!("{name}.log"));
        let kernel = &task.kernel.image;
        let Site { arch, accel, .. } = task.site;
        guest::run(arch, *accel, kernel, file.path(), &path)?;
        let printed = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let printed = String::from_utf8_lossy(&printed);
        Ok(Log::read(&printed, task.job.commands()))
    }
}

fn died() -> anyhow::Error {
    anyhow!("a thread that ran a guest has died")
}
