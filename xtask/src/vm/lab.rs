//! The room where the machines run: fills the cells of the matrix.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::Options;
use super::arch::Arch;
use super::guest::{self, Accel};
use super::image::{Image, Job};
use super::kernels::Kernel;
use super::log::Log;
use super::matrix::Cell;
use super::record::Record;
use super::suite::{self, DOCTOR};

/// What all guests share.
pub struct Lab<'a> {
    arch: &'a Arch,
    image: Image,
    /// What runs their instructions.
    pub accel: Accel,
    /// The folder that keeps what they print.
    pub logs: PathBuf,
    /// The folder of what is recorded of each kernel.
    records: PathBuf,
}

/// One cell to be filled.
struct Task<'a> {
    kernel: &'a Kernel,
    backend: &'static str,
    job: Job,
}

impl<'a> Lab<'a> {
    /// Makes the folder, and finds out what these kernels can run on.
    pub fn open(
        arch: &'a Arch,
        image: Image,
        kernels: &[Kernel],
        logs: PathBuf,
        records: PathBuf,
    ) -> Result<Self> {
        let kernel = kernels.first().context("no kernel was named")?;
        let accel = Accel::find(arch, &kernel.image)?;
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        eprintln!("vm: what the guests print is in {}", logs.display());
        Ok(Self {
            arch,
            image,
            accel,
            logs,
            records,
        })
    }

    /// Runs each kernel with each backend.
    pub fn fill(
        &self,
        kernels: &[Kernel],
        backends: &[&'static str],
        tests: &[String],
        options: &Options,
    ) -> Result<Vec<Cell>> {
        let mut tasks = Vec::new();
        for kernel in kernels {
            for backend in backends {
                let job = Job {
                    slowness: self.accel.slowness(),
                    doctor: *backend == DOCTOR,
                    runs: suite::runs(backend, tests, options.ci)?,
                };
                tasks.push(Task {
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
        let name = format!("{}-{backend}", kernel.series);
        let mut log = self.boot(task, &name)?;
        if let Some(fault) = &log.fault {
            eprintln!("vm: {name}: {fault}; once more");
            log = self.boot(task, &format!("{name}-again"))?;
        }
        let mut differences = Vec::new();
        if task.job.doctor && log.fault.is_none() {
            let name = format!("{}-{}", self.arch.debian, kernel.series);
            let record = Record::of(&log.doctor, self.records.join(name))?;
            if bless {
                record.write()?;
            }
            differences = record.differences()?;
        }
        Ok(Cell {
            series: kernel.series.clone(),
            backend,
            log,
            differences,
            took: begin.elapsed(),
        })
    }

    fn boot(&self, task: &Task, name: &str) -> Result<Log> {
        let image = tempfile::NamedTempFile::new().context("cannot make a file")?;
        self.image.write(image.path(), &task.job)?;
        let path = self.logs.join(format!("{name}.log"));
        let kernel = &task.kernel.image;
        guest::run(self.arch, self.accel, kernel, image.path(), &path)?;
        let printed = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let printed = String::from_utf8_lossy(&printed);
        Ok(Log::read(&printed, task.job.commands()))
    }
}

fn died() -> anyhow::Error {
    anyhow!("a thread that ran a guest has died")
}
