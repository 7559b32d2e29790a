//! Everything that the guests of one architecture share.

use std::path::Path;

use anyhow::{Context, Result};

use super::arch::{self, Arch};
use super::cross::Cross;
use super::debian::Debian;
use super::guest::Accel;
use super::image::Image;
use super::kernels::{Kernel, Name};
use super::programs;
use super::userland;
use crate::exec;
use crate::workspace::Workspace;

/// Where it is prepared, and how.
pub struct Ground<'a> {
    /// What is tested.
    pub workspace: &'a Workspace,
    /// The folder of what is fetched.
    pub cache: &'a Path,
    /// The folder of what is built.
    pub folder: &'a Path,
    /// Look for newer kernels and programs than those fetched before.
    pub update: bool,
}

/// It.
pub struct Site {
    /// The architecture.
    pub arch: &'static Arch,
    /// Those of its kernels that are wanted.
    pub kernels: Vec<Kernel>,
    /// What they find.
    pub image: Image,
    /// What runs their instructions.
    pub accel: Accel,
}

impl Site {
    /// Fetches and builds what the kernels of this architecture take, of which at
    /// least one is wanted.
    pub fn prepare(ground: &Ground, arch: &'static Arch, wanted: &[Name]) -> Result<Self> {
        let Ground {
            workspace,
            folder,
            update,
            ..
        } = *ground;
        let cache = ground.cache.join(arch.debian);
        let packages = |arch: &Arch| Debian::new(ground.cache.join(arch.debian).join("apt"), arch);
        let debian = packages(arch)?;
        let kernels = cache.join("kernels");
        let kernels = wanted
            .iter()
            .filter(|name| name.arch.debian == arch.debian)
            .map(|name| match Kernel::fetched(&kernels, *name)? {
                Some(kernel) if !update => Ok(kernel),
                _ => Kernel::fetch(&kernels, *name, &debian),
            })
            .collect::<Result<Vec<_>>>()?;
        let native = packages(&arch::NATIVE)?;
        let userland = userland::provide(&cache, update, &debian, arch, &native)?;
        let cross = Cross::provide(&cache, &debian, arch)?;
        let programs = programs::build(workspace, arch, cross.as_ref())?;
        let image = Image::build(workspace, &folder.join(arch.debian), userland, &programs)?;
        let first = kernels.first().context("no kernel was named")?;
        let accel = Accel::find(arch, &first.image)?;
        Ok(Self {
            arch,
            kernels,
            image,
            accel,
        })
    }

    /// What the guests run on, in words.
    pub fn machine(&self) -> Result<String> {
        let mut ask = std::process::Command::new(self.arch.qemu);
        let version = exec::output(ask.arg("--version"))?;
        let version = version.lines().next().unwrap_or_default();
        Ok(format!(
            "{}: {version}, {}",
            self.arch.debian,
            self.accel.name()
        ))
    }
}
