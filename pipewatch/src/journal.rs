//! The journal of systemd, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL):
//! a datagram of fields is an entry.

use std::{
    env,
    fs::File,
    io::{self, IoSlice, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    time::Duration,
};

use rustix::{
    cmsg_space,
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, memfd_create},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr},
};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// So long it may take to take an entry.
const PATIENCE: Duration = Duration::from_secs(1);

/// A way to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    address: SocketAddrUnix,
}

impl Journal {
    /// The one that a stream goes to, as systemd tells who is started so
    /// (`$JOURNAL_STREAM`, systemd.exec(5)). `None` if it goes elsewhere.
    pub fn behind(stream: impl AsFd) -> Option<Self> {
        let told = env::var("JOURNAL_STREAM").ok()?;
        let stat = fstat(stream).ok()?;
        if told != format!("{}:{}", stat.st_dev, stat.st_ino) {
            return None;
        }
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(Self {
            socket,
            address: SocketAddrUnix::new(SOCKET).ok()?,
        })
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// journald does not take it.
    pub fn send(&self, entry: &[u8]) -> io::Result<()> {
        match self.send_with(entry, None) {
            // What is too long for a datagram is passed as a file that cannot change.
            Err(rustix::io::Errno::MSGSIZE | rustix::io::Errno::NOBUFS) => {
                self.send_with(&[], Some(sealed(entry)?.as_fd()))?;
            }
            sent => sent?,
        }
        Ok(())
    }

    fn send_with(&self, data: &[u8], file: Option<BorrowedFd<'_>>) -> rustix::io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(file) = &file {
            control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(file)));
        }
        let data = [IoSlice::new(data)];
        let flags = SendFlags::NOSIGNAL;
        sendmsg_addr(&self.socket, &self.address, &data, &mut control, flags).map(drop)
    }
}

fn sealed(entry: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("pipewatch-entry", flags)?);
    file.write_all(entry)?;
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, all)?;
    Ok(file.into())
}
