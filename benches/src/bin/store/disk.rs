//! The disk itself, without a store.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{Done, whole_us};

/// What is synced: a page, over blocks that were allocated before.
const PAGE_BYTES: usize = 4_096;
const PAGES: u64 = 8_192;

pub(crate) fn allocated(path: &Path) -> Result<File> {
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    for _ in 0..PAGES {
        file.write_all(&[0; PAGE_BYTES])?;
    }
    file.sync_all()?;
    Ok(file)
}

/// What one writer without any batching could do at the most.
pub(crate) fn sync_twice_a_pair(mut file: File, span: Duration) -> Result<Done> {
    let (mut latencies_us, mut page, began) = (Vec::new(), 0, Instant::now());
    while began.elapsed() < span {
        let began = Instant::now();
        for _ in 0..2 {
            file.seek(SeekFrom::Start(page % PAGES * PAGE_BYTES as u64))?;
            file.write_all(&[0x5a; PAGE_BYTES])?;
            file.sync_data()?;
            page += 1;
        }
        latencies_us.push(whole_us(began.elapsed())?);
    }
    Ok(Done { span: began.elapsed(), latencies_us })
}
