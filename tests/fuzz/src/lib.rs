//! All that reads bytes which somebody else may have made up, each as a function
//! that must not panic, hang or take more memory than the input is worth. They are
//! run on a small corpus by `cargo test`, and by a fuzzer by `cargo xtask fuzz`.

mod btf;
mod procfs;
mod records;
mod trace;

/// A function that takes whatever it gets.
pub struct Target {
    /// Its name, and that of the folder of its corpus.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&[u8]),
}

impl Target {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self {
            name: "btf",
            run: btf::run,
        },
        Self {
            name: "procfs",
            run: procfs::run,
        },
        Self {
            name: "records",
            run: records::run,
        },
        Self {
            name: "trace",
            run: trace::run,
        },
    ];
}
