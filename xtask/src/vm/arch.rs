//! What differs from one architecture of guests to the next.

/// One architecture: how its programs are built, and how its guests are run.
#[derive(Debug)]
pub struct Arch {
    /// Debian's name of it.
    pub debian: &'static str,
    /// The target that its programs are compiled for.
    pub target: &'static str,
    /// What links them, if that is not this machine's own compiler.
    pub linker: Option<&'static str>,
    /// Where Debian keeps its libraries.
    pub libraries: &'static str,
    /// The dynamic loader there.
    pub loader: &'static str,
    /// The emulator.
    pub qemu: &'static str,
    /// Programs that building and running take, or files, each with its Debian
    /// package.
    pub needs: &'static [(&'static str, &'static str)],
    /// What the emulator is given besides kernel and image.
    pub machine: &'static [&'static str],
    /// The kernel's name of the serial port.
    pub console: &'static str,
}

/// All of them.
pub const ALL: &[&Arch] = &[&NATIVE, &ARM64];

/// That of the machine that all this runs on.
///
/// QEMU 7.2 ends many guests from 6.12 on in a double fault after an emulated
/// `cmpxchg16b`, and some by patching code while another CPU runs it: hence no
/// such instruction, and one CPU.
pub static NATIVE: Arch = Arch {
    debian: "amd64",
    target: "x86_64-unknown-linux-gnu",
    linker: None,
    libraries: "x86_64-linux-gnu",
    loader: "ld-linux-x86-64.so.2",
    qemu: "qemu-system-x86_64",
    needs: &[("qemu-system-x86_64", "qemu-system-x86")],
    machine: &[
        "-M",
        "q35",
        "-cpu",
        "max,-cx16",
        "-smp",
        "1",
        "-net",
        "none",
    ],
    console: "ttyS0",
};

/// Without a short cut, the signing of pointers takes most of the emulator's time.
pub static ARM64: Arch = Arch {
    debian: "arm64",
    target: "aarch64-unknown-linux-gnu",
    linker: Some("aarch64-linux-gnu-gcc"),
    libraries: "aarch64-linux-gnu",
    loader: "ld-linux-aarch64.so.1",
    qemu: "qemu-system-aarch64",
    needs: &[
        ("qemu-system-aarch64", "qemu-system-arm"),
        ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
        ("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross"),
    ],
    machine: &[
        "-M",
        "virt",
        "-cpu",
        "max,pauth-impdef=on",
        "-smp",
        "1",
        "-net",
        "none",
    ],
    console: "ttyAMA0",
};
