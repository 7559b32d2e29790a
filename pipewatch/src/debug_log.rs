//! What the probes log, for whoever debugs pipewatch itself.

use crate::{bpf::Kernel, output::say, problem::Problem};

/// What the probes log, on standard error.
pub struct DebugLog(aya_log::EbpfLogger<ToStderr>);

struct ToStderr;

impl log::Log for ToStderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        say(format_args!("pipewatch: probe: {}", record.args()));
    }

    fn flush(&self) {}
}

impl DebugLog {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// The programs have no log.
    pub fn new(kernel: &mut Kernel) -> Result<Self, Problem> {
        let logger = aya_log::EbpfLogger::init_with_logger(kernel.ebpf_mut(), ToStderr);
        logger.map(Self).map_err(|error| {
            Problem::new(
                format!("cannot read what the probes log: {error}"),
                "leave out -vv",
            )
        })
    }

    /// Prints what has come.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}
