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

#[cfg(test)]
mod tests {
    use std::{
        io::{IoSliceMut, Read as _, Seek as _},
        os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr},
    };

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;

    /// What the other side gets: a datagram, and the text of a file with it.
    fn received(socket: &UnixDatagram) -> (Vec<u8>, Option<String>) {
        let mut data = [0; 100];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(&mut data)];
        let message = recvmsg(socket, slices, &mut control, RecvFlags::empty());
        let length = message.expect("a message").bytes;
        let mut text = None;
        for message in control.drain() {
            let RecvAncillaryMessage::ScmRights(files) = message else {
                continue;
            };
            for file in files {
                let mut file = File::from(file);
                file.set_len(0).expect_err("a file that cannot change");
                file.rewind().expect("its begin");
                let text = text.insert(String::new());
                file.read_to_string(text).expect("its text");
            }
        }
        (data[..length].to_vec(), text)
    }

    #[test]
    fn entries_are_datagrams_or_files_that_cannot_change() {
        let name = format!("pipewatch-journal-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let journald = UnixDatagram::bind_addr(&address).expect("a socket");
        let journal = Journal {
            socket: UnixDatagram::unbound().expect("a socket"),
            address: SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("a name"),
        };
        journal.send(b"MESSAGE=short\n").expect("sent");
        assert_eq!(received(&journald), (b"MESSAGE=short\n".to_vec(), None));
        let long = format!("MESSAGE={}\n", "x".repeat(1 << 20));
        journal.send(long.as_bytes()).expect("sent");
        assert_eq!(received(&journald), (Vec::new(), Some(long)));
        drop(journald);
        journal.send(b"MESSAGE=late\n").expect_err("nobody");
    }

    #[test]
    fn a_stream_that_goes_elsewhere_is_no_journal() {
        assert!(Journal::behind(io::stdin()).is_none());
    }
}
