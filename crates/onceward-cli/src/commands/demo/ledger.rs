//! The shop's ledger: what stands in it was ordered, and nothing else was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The number of the first order.
pub(super) const FIRST_ORDER: u64 = 4711;

/// An append-only file with one line an order, each synced before anyone hears of it.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    next_order: u64,
}

impl Ledger {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Self { path: path.to_owned(), open: Mutex::new(Open { file, next_order: FIRST_ORDER }) })
    }

    /// Books an order and returns its number. Blocks until the disk has it.
    pub(super) fn book(&self, item: &str) -> io::Result<u64> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let number = open.next_order;
        open.file.write_all(format!("{number} {}\n", item.escape_default()).as_bytes())?;
        open.file.sync_data()?;
        open.next_order += 1;
        Ok(number)
    }

    /// Counts the orders, from the file itself.
    pub(super) fn orders(&self) -> io::Result<usize> {
        Ok(fs::read_to_string(&self.path)?.lines().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_is_a_line_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path).unwrap();
        assert_eq!(ledger.orders().unwrap(), 0);
        assert_eq!(ledger.book("item=book").unwrap(), 4711);
        assert_eq!(ledger.book("item=book\n4713 item=forged").unwrap(), 4712);
        assert_eq!(ledger.orders().unwrap(), 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "4711 item=book\n4712 item=book\\n4713 item=forged\n");
        assert_eq!(Ledger::create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
