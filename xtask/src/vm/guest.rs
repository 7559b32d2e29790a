//! One run of a virtual machine.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::arch::Arch;
use super::image::TEST_SECONDS;
use crate::exec;

/// How long a guest may print nothing: a little longer than a test may take,
/// which prints only when it is over.
const SILENCE: Duration = Duration::from_secs(TEST_SECONDS + 30);

/// How long the hardware may take to boot a kernel; it takes less than one.
const BOOT: Duration = Duration::from_secs(5);

/// What a kernel says that has booted and has no image.
const NOTHING_TO_RUN: &str = "Unable to mount root fs";

/// Memory: all programs lie in it.
const MEGABYTES: &str = "1024";

/// Makes an emulated guest's clocks count its instructions.
const COUNTING: &[&str] = &[
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "base=2026-01-01T00:00:00,clock=vm",
    "-seed",
    "42",
];

/// What runs the instructions of a guest.
#[derive(Clone, Copy, Debug)]
pub enum Accel {
    /// The processor.
    Kvm,
    /// QEMU, which translates them.
    Tcg,
    /// The same, where every instruction takes a nanosecond of the guest's time, and
    /// all that happens happens again in the next run.
    Counting,
}

impl Accel {
    /// The first of them with which a kernel boots. That the device is there,
    /// and takes requests, proves nothing.
    pub fn find(arch: &Arch, kernel: &Path) -> Result<Self> {
        if !Path::new("/dev/kvm").exists() {
            return Ok(Self::Tcg);
        }
        let log = tempfile::NamedTempFile::new().context("cannot make a file")?;
        boot(arch, Self::Kvm, kernel, None, log.path(), BOOT)?;
        let printed = fs::read(log.path()).context("cannot read what a kernel printed")?;
        let booted = String::from_utf8_lossy(&printed).contains(NOTHING_TO_RUN);
        Ok(if booted { Self::Kvm } else { Self::Tcg })
    }

    /// QEMU's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg | Self::Counting => "tcg",
        }
    }

    /// What else the emulator is given, and the kernel.
    fn args(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Kvm | Self::Tcg => (&[], ""),
            Self::Counting => (COUNTING, " nokaslr"),
        }
    }

    /// How many times later than on real hardware a guest may tell something.
    pub fn slowness(self) -> u32 {
        match self {
            Self::Kvm => 1,
            Self::Tcg | Self::Counting => 4,
        }
    }
}

/// Boots a kernel with an image, and waits until the machine is off, or has
/// been silent for too long. What it prints goes to `log`.
pub fn run(arch: &Arch, accel: Accel, kernel: &Path, image: &Path, log: &Path) -> Result<()> {
    boot(arch, accel, kernel, Some(image), log, SILENCE)
}

fn boot(
    arch: &Arch,
    accel: Accel,
    kernel: &Path,
    image: Option<&Path>,
    log: &Path,
    silence: Duration,
) -> Result<()> {
    let output =
        fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = output.try_clone().context("cannot share the log")?;
    let mut qemu = Command::new(arch.qemu);
    let (machine, parameters) = accel.args();
    qemu.args(arch.machine)
        .args(machine)
        .args(["-accel", accel.name(), "-m", MEGABYTES, "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio", "-monitor", "none"])
        .arg("-kernel")
        .arg(kernel)
        .args([
            "-append",
            &format!(
                "console={} quiet panic=-1 oops=panic{parameters}",
                arch.console
            ),
        ])
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    if let Some(image) = image {
        qemu.arg("-initrd").arg(image);
    }
    let mut machine = qemu
        .spawn()
        .with_context(|| format!("cannot start {}", exec::name(&qemu)))?;
    let ended = wait(&mut machine, log, silence);
    // Ends a machine that has not ended by itself.
    machine.kill().context("cannot stop a machine")?;
    machine.wait().context("cannot wait for a machine")?;
    ended
}

fn wait(machine: &mut Child, log: &Path, silence: Duration) -> Result<()> {
    let mut printed = 0;
    let mut since = Instant::now();
    while since.elapsed() < silence {
        if machine
            .try_wait()
            .context("cannot wait for a machine")?
            .is_some()
        {
            return Ok(());
        }
        let length = fs::metadata(log).context("cannot look at the log")?.len();
        if length != printed {
            (printed, since) = (length, Instant::now());
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}
