//! From the search for processes that run CPython to the kernel side, which tells
//! their frames from then on.

use crate::{
    output::say,
    source::Source,
    stacks::{Scout, Scouted},
};

/// Starts the search; it ends with what is returned. `None` where no probe is
/// at work, or where there is no room for it, which is said.
pub fn search(source: &mut Source) -> Option<Scout> {
    let kernel = source.kernel_mut()?;
    // Without probes nobody tells.
    kernel.attached()?;
    let mut pythons = match kernel.pythons() {
        Ok(pythons) => pythons,
        Err(problem) => {
            say(format_args!("warning: {problem}"));
            return None;
        }
    };
    let tell = move |found| match found {
        Scouted::Python(layout, python) => pythons.add(layout, python),
        Scouted::Unknown(pid, name) => say(format_args!(
            "pipewatch: process {pid} runs {name}, whose frames are not known: which line of \
             Python made a pipe or forked is told of 3.7 to 3.13",
        )),
    };
    match Scout::start(tell) {
        Ok(scout) => Some(scout),
        Err(error) => {
            say(format_args!(
                "warning: which line of Python made a pipe or forked is not told: {error}"
            ));
            None
        }
    }
}
