//! What a guest has printed on its serial port.

use std::collections::BTreeMap;

use serde_json::Value;

use super::suite::DOCTORS;

/// Begins what a command prints, with its name.
pub const BEGIN: &str = "@begin";
/// Ends that, with the exit status.
pub const END: &str = "@end";
/// Tells of a test that is not run, after too many have failed.
pub const SKIP: &str = "@skip";
/// Tells why there is nothing to be tested here.
pub const ABSENT: &str = "@absent";
/// How the names of commands begin that are no tests.
pub const DOCTOR: &str = "doctor/";
/// Tells the kernel's release.
const KERNEL: &str = "@kernel ";
/// Comes last.
const OVER: &str = "@over";
/// What a test binary says that was given one name and knew it.
const ONE_PASSED: &str = "1 passed; 0 failed;";

/// What was found.
#[derive(Debug, Default)]
pub struct Log {
    /// The kernel's release.
    pub kernel: String,
    /// What the doctor found, by what it was asked as.
    pub doctor: BTreeMap<String, Vec<Value>>,
    /// How many tests ended.
    pub ended: usize,
    /// Those that did not pass.
    pub failed: Vec<String>,
    /// What these printed.
    pub complaints: String,
    /// How many were not run any more.
    pub skipped: usize,
    /// Why the backend is not to be had there, if so.
    pub absent: Option<String>,
    /// What went wrong with the guest itself, if anything.
    pub fault: Option<String>,
}

impl Log {
    /// Reads a log that must tell of `expected` tests and answers of the doctor.
    pub fn read(text: &str, expected: usize) -> Self {
        let mut log = Self::default();
        let mut command: Option<(&str, Vec<&str>)> = None;
        let mut over = false;
        for line in text.lines().map(str::trim_end) {
            let mut words = line.split(' ');
            match (words.next(), words.next()) {
                (Some(BEGIN), Some(name)) => command = Some((name, Vec::new())),
                (Some(END), Some(status)) => {
                    if let Some((name, lines)) = command.take() {
                        log.note(name, &lines, status == "0");
                    }
                }
                (Some(SKIP), Some(_)) => log.skipped += 1,
                (Some(ABSENT), Some(_)) => {
                    let reason = line.strip_prefix(ABSENT).unwrap_or_default();
                    log.absent = Some(reason.trim().to_owned());
                }
                (Some(OVER), None) => over = true,
                _ => {
                    if let Some(kernel) = line.strip_prefix(KERNEL) {
                        log.kernel = kernel.to_owned();
                    }
                    command.iter_mut().for_each(|(_, lines)| lines.push(line));
                }
            }
        }
        let traces = log.ended + log.skipped + log.doctor.len();
        let last_words = || text.lines().find(|line| line.contains("Kernel panic"));
        log.fault = match last_words() {
            Some(panic) => Some(panic.trim().to_owned()),
            None if !over => Some("the guest did not come to its end".to_owned()),
            None if log.absent.is_some() && traces == 0 => None,
            None if traces != expected => {
                Some(format!("{traces} of {expected} commands left a trace"))
            }
            None => None,
        };
        log
    }

    fn note(&mut self, name: &str, lines: &[&str], succeeded: bool) {
        if let Some(name) = name.strip_prefix(DOCTOR) {
            let checks = lines
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok());
            self.doctor.insert(name.to_owned(), checks.collect());
            return;
        }
        self.ended += 1;
        if !(succeeded && lines.iter().any(|line| line.contains(ONE_PASSED))) {
            self.failed.push(name.to_owned());
            self.complaints += &format!("{name}:\n{}\n", lines.join("\n"));
        }
    }

    /// Which backend pipewatch would use, in the words of the doctor, if asked.
    pub fn diagnosis(&self) -> Option<String> {
        let checks = self.doctor.get(DOCTORS[0].0)?;
        let backend = checks.iter().find(|check| check["check"] == "backend")?;
        backend["found"].as_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
        SeaBIOS\r\n@kernel 6.1.0-56-cloud-amd64\r\n\
        @begin doctor/root\r\n{\"check\":\"backend\",\"ok\":true,\"found\":\"tracepoint\"}\r\n@end 0\r\n\
        @begin doctor::a\r\ntest result: ok. 1 passed; 0 failed; 0 ignored\r\n@end 0\r\n\
        @begin hang::b\r\nthread 'hang::b' panicked\r\n@end 101\r\n\
        @begin hang::c\r\ntest result: ok. 0 passed; 0 failed; 0 ignored\r\n@end 0\r\n\
        @skip hang::d\r\n@over\r\n";

    #[test]
    fn a_test_passes_if_it_ran_and_says_so() {
        let log = Log::read(LOG, 5);
        assert_eq!(log.kernel, "6.1.0-56-cloud-amd64");
        assert_eq!(log.diagnosis().as_deref(), Some("tracepoint"));
        assert_eq!((log.ended, log.skipped), (3, 1));
        assert_eq!(log.failed, ["hang::b", "hang::c"]);
        let complaints: Vec<&str> = log.complaints.lines().take(2).collect();
        assert_eq!(complaints, ["hang::b:", "thread 'hang::b' panicked"]);
        assert_eq!(log.fault, None);
    }

    #[test]
    fn what_is_not_to_be_had_is_told() {
        let text = "@absent fentry is not to be had here\r\n@over\r\n";
        let log = Log::read(text, 4);
        assert_eq!(log.absent.as_deref(), Some("fentry is not to be had here"));
        assert_eq!((log.ended, log.fault), (0, None));
        assert!(Log::read(&text.replace("@over", ""), 4).fault.is_some());
    }

    #[test]
    fn what_is_missing_is_a_fault_of_the_guest() {
        let fault = |text: &str, expected| Log::read(text, expected).fault.unwrap_or_default();
        assert_eq!(fault(LOG, 6), "5 of 6 commands left a trace");
        let (cut, _) = LOG.split_once("@over").expect("an end");
        assert_eq!(fault(cut, 5), "the guest did not come to its end");
        let panic = format!("{cut}[ 1.0] Kernel panic - not syncing: Fatal exception\r\n");
        assert_eq!(
            fault(&panic, 5),
            "[ 1.0] Kernel panic - not syncing: Fatal exception"
        );
        assert_eq!(fault("", 0), "the guest did not come to its end");
    }
}
