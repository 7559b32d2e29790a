//! What the kernel's tables are asked for.

use std::collections::BTreeSet;

use crate::{
    event::{End, Kind},
    ids::TableId,
};

/// The ends of certain channels, whose ever they are, and all ends in certain fd tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    addresses: BTreeSet<(What, u64)>,
}

/// What is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A pipe or FIFO.
    Pipe,
    /// One of a pair of sockets.
    Socket,
    /// An fd table.
    Table,
}

impl Asked {
    /// By the addresses of their objects.
    pub fn addresses(&self) -> impl Iterator<Item = (What, u64)> {
        self.addresses.iter().copied()
    }

    /// Whether it is for nothing.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}

impl Extend<End> for Asked {
    fn extend<T: IntoIterator<Item = End>>(&mut self, ends: T) {
        let address = |end: End| match end.kind {
            Kind::Socketpair { .. } => (What::Socket, end.address),
            Kind::Pipe | Kind::Fifo => (What::Pipe, end.address),
        };
        self.addresses.extend(ends.into_iter().map(address));
    }
}

impl Extend<TableId> for Asked {
    fn extend<T: IntoIterator<Item = TableId>>(&mut self, tables: T) {
        let address = |TableId(address)| (What::Table, address);
        self.addresses.extend(tables.into_iter().map(address));
    }
}
