//! A live process, looked into without stopping it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use pipewatch_ebpf::abi::Layout;

use crate::ids::{Pid, ProcKey, Tid};

/// Nanoseconds of the unit in which `/proc/PID/stat` has the start of a process
/// (`USER_HZ` is 100 on all architectures that there are programs for).
const TICK: u64 = 10_000_000;
/// A perf map larger than this is not looked into, in bytes.
const MAX_PERF_MAP: u64 = 1 << 27;

/// A part of an address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) range: Range<u64>,
    pub(super) executable: bool,
    /// What is written to it is not written to the file.
    pub(super) private: bool,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// The file, or a name in brackets; may be empty.
    pub(super) path: String,
}

impl Map {
    /// The last part of its path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// A file as it is, whoever runs it and by whatever path: device, inode, and time of
/// the last change, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(u64, u64, i64);

#[cfg(test)]
impl FileId {
    /// One of any number of files.
    pub(super) fn numbered(inode: u64) -> Self {
        Self(0, inode, 0)
    }
}

/// A process that was there, and was the one that was meant, when it was opened.
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) maps: Vec<Map>,
    layout: Layout,
    /// Keeps the address space, so that this never reads another process.
    memory: File,
}

impl Process {
    /// `None` if it has ended, or may not be looked into.
    pub(super) fn open(key: ProcKey) -> Option<Self> {
        let pid = key.pid;
        let layout = layout(&text(&format!("/proc/{pid}/stat"))?)?;
        let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
        let maps = text(&format!("/proc/{pid}/maps"))?;
        let maps = maps.lines().filter_map(map).collect();
        let process = Self {
            pid,
            maps,
            layout,
            memory,
        };
        process.is_still(key).then_some(process)
    }

    /// Whether it is the one that was meant, and has executed nothing else since, which
    /// leaves nothing as it was.
    pub(super) fn is_still(&self, key: ProcKey) -> bool {
        let stat = text(&format!("/proc/{}/stat", self.pid));
        stat.is_some_and(|stat| {
            start(&stat) == Some(key.start / TICK) && layout(&stat) == Some(self.layout)
        })
    }

    /// Where the program that it runs lies.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether code is at an address.
    pub(super) fn is_code(&self, address: u64) -> bool {
        self.map_of(address).is_some_and(|map| map.executable)
    }

    /// The part of the address space that an address is in.
    pub(super) fn map_of(&self, address: u64) -> Option<&Map> {
        self.maps.iter().find(|map| map.range.contains(&address))
    }

    /// The bytes at an address, as many as can be read of those asked for.
    pub(super) fn read(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = self.memory.read_at(&mut bytes, address).unwrap_or(0);
        bytes.truncate(read);
        bytes
    }

    /// The file that is mapped there, by whatever path and even if it has none.
    pub(super) fn file_of(&self, map: &Map) -> Option<File> {
        let pid = self.pid;
        let Range { start, end } = map.range;
        let mapped = File::open(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
        // A FIFO may be there by now, and must not be waited for.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        mapped
            .or_else(|_| options.open(format!("/proc/{pid}/root{}", map.path)))
            .ok()
            .filter(|file| file.metadata().is_ok_and(|about| about.is_file()))
    }

    /// Which file's code is mapped there; `None` if it is not that of a file alone.
    pub(super) fn code_of(&self, map: &Map) -> Option<FileId> {
        // Compilers at run time put code into files that they share with themselves.
        let of_file = map.private && map.path.starts_with('/');
        let file = of_file.then(|| self.file_of(map)).flatten()?;
        let about = file.metadata().ok()?;
        let changed = about
            .mtime()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(about.mtime_nsec());
        Some(FileId(about.dev(), about.ino(), changed))
    }

    /// Whether `/proc/PID/map_files` can be read, which needs privileges.
    pub(super) fn shows_files(&self) -> bool {
        let of_file = self.maps.iter().find(|map| map.path.starts_with('/'));
        of_file.is_some_and(|map| {
            let Range { start, end } = map.range;
            File::open(format!("/proc/{}/map_files/{start:x}-{end:x}", self.pid)).is_ok()
        })
    }

    /// Whether it sees the files that pipewatch sees.
    pub(super) fn is_in_own_mounts(&self) -> bool {
        let namespace = |who: &str| fs::read_link(format!("/proc/{who}/ns/mnt")).ok();
        let own = namespace("self");
        own.is_some() && own == namespace(&self.pid.to_string())
    }

    /// Whether its perf map, if it has one, is its own and no trap.
    pub(super) fn has_honest_perf_map(&self) -> bool {
        let pid = self.pid;
        let Some(inner) = self.inner_ids(&[pid.0]).into_keys().next() else {
            return false;
        };
        let path = PathBuf::from(format!("/proc/{pid}/root/tmp/perf-{inner}.map"));
        let owner = fs::metadata(format!("/proc/{pid}")).map(|process| process.uid());
        fs::symlink_metadata(path).is_ok_and(|map| {
            let trusted = map.uid() == 0 || owner.is_ok_and(|owner| owner == map.uid());
            map.is_file() && trusted && map.len() <= MAX_PERF_MAP
        })
    }

    /// Its threads.
    pub(super) fn threads(&self) -> Vec<Tid> {
        let entries = fs::read_dir(format!("/proc/{}/task", self.pid));
        let names = entries.into_iter().flatten().flatten();
        let ids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.map(Tid).collect()
    }

    /// Thread ids by what the process itself knows them as, which differs in a
    /// pid namespace.
    pub(super) fn inner_ids(&self, tids: &[u32]) -> BTreeMap<u32, Tid> {
        let inner = |tid: u32| {
            let status = text(&format!("/proc/{}/task/{tid}/status", self.pid))?;
            let ids = status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))?;
            ids.split_whitespace().last()?.parse().ok()
        };
        let pairs = tids.iter().filter_map(|&tid| Some((inner(tid)?, Tid(tid))));
        pairs.collect()
    }

    /// Where a thread sleeps. `None` if it runs, has ended, or it is not told.
    pub(super) fn sleep(&self, tid: Tid) -> Option<Sleep> {
        let of_thread = |file| text(&format!("/proc/{}/task/{tid}/{file}", self.pid));
        sleep(of_thread("syscall")?, switches(&of_thread("status")?)?)
    }
}

/// A file of `/proc` as text: names in it may be of any bytes, and must not cost
/// what stands beside them.
fn text(path: &str) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where a thread sleeps. Equal sleeps may be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sleep {
    /// The system call and its arguments, as the kernel prints them.
    line: String,
    pub(super) stack_pointer: u64,
    pub(super) address: u64,
    /// `task->nvcsw`, equal as long as the same sleep lasts.
    pub(super) nvcsw: u64,
}

/// How often a thread has gone to sleep, in `status`.
fn switches(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

/// `CALL ARGUMENTS SP PC`, or `-1 SP PC` outside a call, or `running`.
fn sleep(line: String, nvcsw: u64) -> Option<Sleep> {
    let mut words = line.trim_end().rsplit(' ');
    let hex = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let address = hex(words.next()?)?;
    let stack_pointer = hex(words.next()?)?;
    Some(Sleep {
        line,
        stack_pointer,
        address,
        nvcsw,
    })
}

/// Start of a process, in ticks since boot: field 22, behind a name that may
/// have blanks and brackets in it.
fn start(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// Where a program lies: fields 26 and 28.
fn layout(stat: &str) -> Option<Layout> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let code = fields.nth(23)?.parse().ok()?;
    let stack = fields.nth(1)?.parse().ok()?;
    Some(Layout { code, stack })
}

/// `start-end perms offset dev inode path`.
fn map(line: &str) -> Option<Map> {
    let mut words = line.splitn(6, ' ');
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let offset = hex(words.next()?)?;
    let path = words.nth(2).unwrap_or_default();
    Some(Map {
        range: hex(start)?..hex(end)?,
        executable: permissions.contains('x'),
        private: permissions.ends_with('p'),
        offset,
        path: path.trim_start().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps() {
        let line = "7f01000-7f02000 r-xp 00001000 fe:00 42   /usr/lib/lib c.so";
        let expected = Map {
            range: 0x7f0_1000..0x7f0_2000,
            executable: true,
            private: true,
            offset: 0x1000,
            path: "/usr/lib/lib c.so".to_owned(),
        };
        assert_eq!(expected.name(), "lib c.so");
        assert_eq!(map(line), Some(expected));
        let data = map("7f01000-7f02000 rw-p 00000000 00:00 0 ").expect("a map");
        assert!(!data.executable && data.path.is_empty());
        assert_eq!(map("nonsense"), None);
    }

    #[test]
    fn where_a_thread_sleeps() {
        let of = |line: &str| sleep(line.to_owned(), 7).map(|it| (it.stack_pointer, it.address));
        let read = "0 0x3 0x7ff 0xa 0x0 0x0 0x0 0x7ffd10 0x7f02\n";
        assert_eq!(of(read), Some((0x7f_fd10, 0x7f02)));
        assert_eq!(of("-1 0x7ffd10 0x7f02\n"), Some((0x7f_fd10, 0x7f02)));
        assert_eq!(of("running\n"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn how_often_a_thread_has_slept() {
        let status = "Name:\ta\nvoluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(switches(status), Some(42));
        assert_eq!(switches("Name:\ta\n"), None);
    }

    #[test]
    fn the_start_and_the_layout_of_a_process_with_an_odd_name() {
        let fields: Vec<String> = (4..=28).map(|field| field.to_string()).collect();
        let stat = format!("1 (a) b) S {}", fields.join(" "));
        assert_eq!(start(&stat), Some(22));
        let expected = Layout {
            code: 26,
            stack: 28,
        };
        assert_eq!(layout(&stat), Some(expected));
    }

    #[test]
    fn a_name_that_is_no_text_costs_nothing_else() {
        let file = std::env::temp_dir().join(format!("pipewatch-stat-{}", std::process::id()));
        let fields: Vec<String> = (4..=22).map(|field| field.to_string()).collect();
        let stat = [b"1 (\xff\xfe) S ", fields.join(" ").as_bytes()].concat();
        fs::write(&file, stat).expect("a file");
        let read = text(file.to_str().expect("a path"));
        fs::remove_file(&file).expect("the file");
        assert_eq!(start(&read.expect("its text")), Some(22));
    }

    #[test]
    fn own_memory_is_read_and_another_generation_is_not_opened() {
        let pid = Pid(std::process::id());
        let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
        let begun = start(&stat).expect("a start") * TICK;
        let own = Process::open(ProcKey { pid, start: begun }).expect("this process");
        let word = 0x1234_5678_u32;
        let address = &raw const word as u64;
        assert_eq!(own.read(address, 4), word.to_ne_bytes());
        assert!(own.read(8, 4).is_empty());
        assert!(own.map_of(address).is_some());
        assert!(own.is_in_own_mounts());
        assert!(own.is_still(ProcKey { pid, start: begun }));
        let other = ProcKey {
            pid,
            start: begun + 2 * TICK,
        };
        assert!(Process::open(other).is_none() && !own.is_still(other));
    }
}
