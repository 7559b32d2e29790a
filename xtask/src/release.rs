//! Programs that need no library, without this machine's paths in them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::toolchain;
use crate::vm::{Arch, Cross};
use crate::workspace::Workspace;

/// Where they are built: what is linked in another way would replace what other
/// commands have built.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("static")
}

/// Where those of an architecture are, once built.
pub fn programs(workspace: &Workspace, arch: &Arch) -> PathBuf {
    folder(workspace).join(arch.target).join("release")
}

/// A cargo that builds them, for `cargo COMMAND ARGS`.
pub fn cargo(
    workspace: &Workspace,
    arch: &Arch,
    cross: Option<&Cross>,
    args: &[&str],
) -> Result<Command> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".into()];
    flags.extend(toolchain::remap_sources(workspace)?);
    flags.extend(cross.into_iter().flat_map(Cross::flags));
    let mut cargo = cross.map_or_else(|| workspace.cargo(), |cross| cross.cargo(workspace));
    cargo
        .args(args)
        .args(["--release", "--target", arch.target, "--target-dir"])
        .arg(folder(workspace))
        .env("CARGO_ENCODED_RUSTFLAGS", toolchain::encode(&flags));
    Ok(cargo)
}
