//! Control groups: what `/proc/PID/cgroup` says, and which container and pod a path
//! is that of, by the names that container runtimes give. Whoever may make groups can
//! give one such a name too.

/// What stands before a container's id in the name of its group: nothing where the
/// runtime makes groups itself, else its own name (Docker, containerd, CRI-O, Podman,
/// nerdctl), which systemd wants for a scope.
const RUNTIMES: [&str; 6] = [
    "",
    "docker-",
    "cri-containerd-",
    "crio-",
    "libpod-",
    "nerdctl-",
];

/// The group of a process, of `/proc/PID/cgroup` (cgroups(7)): lines
/// `ID:CONTROLLERS:PATH`. It is the one of version 2, or else of systemd's or the
/// first hierarchy; but rather one that names a container, since on hosts with both
/// versions not all do. Bytes that are no text are replaced.
pub fn path(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let group = |line| {
        let (_, group) = str::split_once(line, ':')?;
        // One that was removed is marked so (`proc_cgroup_show`, kernel/cgroup/cgroup.c).
        group
            .strip_suffix(" (deleted)")
            .unwrap_or(group)
            .split_once(':')
    };
    let mut groups: Vec<(&str, &str)> = text.lines().filter_map(group).collect();
    groups.sort_by_key(|(controllers, _)| match *controllers {
        "" => 0,
        "name=systemd" => 1,
        _ => 2,
    });
    let paths = || groups.iter().map(|(_, path)| path);
    let of_container = paths().find(|path| container(path).is_some());
    of_container.or(paths().next()).map(|path| path.to_string())
}

/// Id of the container that a group belongs to, 64 hexadecimal digits: of the
/// innermost, if one runs in another.
pub fn container(path: &str) -> Option<&str> {
    names(path).find_map(|name| {
        let name = name.strip_suffix(".scope").unwrap_or(name);
        let id = |runtime: &&str| name.strip_prefix(runtime).filter(|id| is_hex(id, 64));
        RUNTIMES.iter().find_map(id)
    })
}

/// UID of the Kubernetes pod that a group belongs to, with dashes as the API has it.
/// That of a static pod is a hash, which has none.
pub fn pod(path: &str) -> Option<String> {
    names(path).find_map(|name| {
        let name = name.strip_suffix(".slice").unwrap_or(name);
        let (before, uid) = name.rsplit_once("pod")?;
        // systemd takes a dash for a step down.
        let uid = uid.replace('_', "-");
        let digits = uid.replace('-', "");
        let is_uid = is_hex(&digits, 32) && matches!(uid.len(), 32 | 36);
        (is_uid && (before.is_empty() || before.ends_with('-'))).then_some(uid)
    })
}

/// The names in a path, innermost first. containerd puts several into one, parted by
/// colons, where it takes the names for systemd's and does not ask that.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit(['/', ':'])
}

fn is_hex(text: &str, length: usize) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == length && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c8e0b7a6d5c4b3a2918070605f4e3d2c1b0a9f8e7d6c5b4a3928170605f4e";
    const OUTER: &str = "9a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b";
    const UID: &str = "7f3b6a1e-2c4d-4e5f-8a9b-0c1d2e3f4a5b";
    const STATIC: &str = "5f8d6d5e9f4f5e7a1b2c3d4e5f6a7b8c";

    /// `ID`, `OUTER`, `UID` (or with underscores) and `STATIC` stand for themselves.
    fn real(pattern: &str) -> String {
        pattern
            .replace("OUTER", OUTER)
            .replace("ID_", ID)
            .replace("U_I_D", &UID.replace('-', "_"))
            .replace("UID", UID)
            .replace("STATIC", STATIC)
    }

    #[test]
    fn what_runtimes_name_is_known() {
        for (pattern, pod_uid) in [
            // Docker with cgroupfs, with systemd, and rootless.
            ("/docker/ID_", None),
            ("/system.slice/docker-ID_.scope", None),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID_.scope",
                None,
            ),
            // containerd, with cgroupfs, systemd, and the names of one for the other.
            ("/kubepods/besteffort/podUID/ID_", Some(UID)),
            ("/kubepods/podUID/ID_", Some(UID)),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/cri-containerd-ID_.scope",
                Some(UID),
            ),
            (
                "/kubepods.slice/kubepods-podU_I_D.slice/cri-containerd-ID_.scope",
                Some(UID),
            ),
            (
                "/system.slice/containerd.service/kubepods-burstable-podU_I_D.slice:cri-containerd:ID_",
                Some(UID),
            ),
            // CRI-O, and a static pod.
            (
                "/kubepods.slice/kubepods-podU_I_D.slice/crio-ID_.scope",
                Some(UID),
            ),
            (
                "/kubepods.slice/kubepods-podU_I_D.slice/crio-ID_.scope/container",
                Some(UID),
            ),
            ("/kubepods/burstable/podUID/crio-ID_", Some(UID)),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSTATIC.slice/cri-containerd-ID_.scope",
                Some(STATIC),
            ),
            // Podman, rootful and rootless, and in a pod of its own.
            ("/machine.slice/libpod-ID_.scope/container", None),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID_.scope",
                None,
            ),
            ("/libpod_parent/libpod-ID_", None),
            (
                "/machine.slice/machine-libpod_pod_OUTER.slice/libpod-ID_.scope",
                None,
            ),
            // nerdctl, with and without systemd.
            ("/system.slice/nerdctl-ID_.scope", None),
            ("/default/ID_", None),
            // kind: a node is a container itself.
            (
                "/docker/OUTER/kubelet/kubepods/besteffort/podUID/ID_",
                Some(UID),
            ),
            (
                "/system.slice/docker-OUTER.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-podU_I_D.slice/cri-containerd-ID_.scope",
                Some(UID),
            ),
            // systemd in a container, and as a container sees its neighbours.
            ("/docker/ID_/system.slice/cron.service", None),
            ("/../../podUID/ID_", Some(UID)),
        ] {
            let path = real(pattern);
            assert_eq!(container(&path), Some(ID), "{path}");
            assert_eq!(pod(&path).as_deref(), pod_uid, "{path}");
        }
    }

    #[test]
    fn what_is_no_container_has_no_id() {
        for pattern in [
            "/",
            "/init.scope",
            "/user.slice/user-1000.slice/session-3.scope",
            "/system.slice/podman.service",
            "/kubepods.slice",
            // The process that looks after a container is not in it.
            "/machine.slice/libpod-conmon-ID_.scope",
            "/kubepods.slice/kubepods-podnothing.slice",
            // Too short, too long, no digits.
            "/docker/3f1c8e0b7a6d",
            "/docker/ID_0",
            "/docker/3F1C8e0b7a6d5c4b3a2918070605f4e3d2c1b0a9f8e7d6c5b4a3928170605f4e",
        ] {
            let path = real(pattern);
            assert_eq!(container(&path), None, "{path}");
            assert_eq!(pod(&path), None, "{path}");
        }
        let pause = real("/kubepods/podUID");
        assert_eq!(
            (container(&pause), pod(&pause)),
            (None, Some(UID.to_owned()))
        );
    }

    #[test]
    fn the_line_that_tells_most_is_taken() {
        let of = |text: &str| path(real(text).as_bytes());
        assert_eq!(of("0::/init.scope\n").as_deref(), Some("/init.scope"));
        let gone = "0::/system.slice/docker-ID_.scope (deleted)\n";
        assert_eq!(of(gone), Some(real("/system.slice/docker-ID_.scope")));
        let version_1 = "12:pids:/a\n11:cpu,cpuacct:/a\n1:name=systemd:/b:c\n";
        assert_eq!(of(version_1).as_deref(), Some("/b:c"));
        assert_eq!(of("3:freezer:/f\n2:cpu:/c\n").as_deref(), Some("/f"));
        // Docker with cgroupfs on a host with both versions.
        let both = "11:blkio:/docker/ID_\n1:name=systemd:/docker/ID_\n0::/system.slice/containerd.service\n";
        assert_eq!(of(both), Some(real("/docker/ID_")));
        assert_eq!(of(""), None);
        assert_eq!(of("no line of it\n"), None);
        assert_eq!(path(b"0::/\xff\n").as_deref(), Some("/\u{fffd}"));
    }
}
