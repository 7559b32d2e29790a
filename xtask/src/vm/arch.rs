//! What differs from one architecture of guests to the next.

/// One architecture: how its programs are built, and how its guests are run.
pub struct Arch {
    /// Debian's name of it.
    pub debian: &'static str,
    /// The target that its programs are compiled for.
    pub target: &'static str,
    /// Where Debian keeps its libraries.
    pub libraries: &'static str,
    /// The dynamic loader there.
    pub loader: &'static str,
    /// The emulator.
    pub qemu: &'static str,
    /// The Debian package of the emulator.
    pub qemu_package: &'static str,
    /// What the emulator is given besides kernel and image.
    pub machine: &'static [&'static str],
    /// The kernel's name of the serial port.
    pub console: &'static str,
}

/// QEMU 7.2 ends many guests from 6.12 on in a double fault after an emulated
/// `cmpxchg16b`, and some by patching code while another CPU runs it: hence no
/// such instruction, and one CPU.
pub const X86_64: Arch = Arch {
    debian: "amd64",
    target: "x86_64-unknown-linux-gnu",
    libraries: "x86_64-linux-gnu",
    loader: "ld-linux-x86-64.so.2",
    qemu: "qemu-system-x86_64",
    qemu_package: "qemu-system-x86",
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
