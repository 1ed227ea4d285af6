//! The database file: tables, version, eviction.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, StorageError, Table, TableDefinition, TableError, WriteTransaction,
};

use crate::files::{TEMPORARY_PREFIX, directory_of, sync_directory};
use crate::{StoreError, StoreKind};

/// Format of the tables below.
pub(crate) const FORMAT: u64 = 1;

/// What every database file begins with.
const MAGIC: &[u8] = b"redb";

/// Bytes of a page of the database.
const PAGE: u64 = 4096;

/// Memory for pages, in bytes. Replies are read once, so more would not help.
const PAGE_MEMORY: usize = 16 * 1024 * 1024;

/// Numbers about the file, by name.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Records by key.
const REPLIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("replies");

/// Keys in the order in which they came.
const ORDER: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("order");

const META_FORMAT: &str = "format";
const META_KIND: &str = "kind";
const META_NEXT: &str = "next";
const META_BYTES: &str = "bytes";

/// One record to be kept.
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) record: Vec<u8>,
}

/// An open database file.
pub(crate) struct ReplyDatabase {
    database: Database,
    path: PathBuf,
    max_bytes: Option<u64>,
}

impl ReplyDatabase {
    /// Writes an empty database to a new file. The file appears with its tables or not at all, so
    /// that a crash leaves none that cannot be opened. A file that is there already stays.
    pub(crate) fn create(path: &Path, kind: StoreKind) -> Result<(), StoreError> {
        let folder = directory_of(path);
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempfile_in(folder)
            .map_err(StoreError::io("creating a file in", folder))?
            .into_temp_path();
        let initialise = || -> Result<(), redb::Error> {
            let database = builder(StoreKind::Journal).create(&temporary)?;
            let write = database.begin_write()?;
            {
                let mut meta = write.open_table(META)?;
                meta.insert(META_FORMAT, FORMAT)?;
                meta.insert(META_KIND, kind_number(kind))?;
                write.open_table(REPLIES)?;
                write.open_table(ORDER)?;
            }
            write.commit()?;
            database.close()?;
            Ok(())
        };
        initialise().map_err(|error| write_error(path, error))?;
        match temporary.persist_noclobber(path) {
            Ok(()) => sync_directory(folder),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(StoreError::io("creating", path)(error.error)),
        }
    }

    /// Opens an existing file. All its pages are checked first, and what a crash left half done is
    /// taken back.
    pub(crate) fn open(path: &Path, kind: StoreKind, max_bytes: Option<u64>) -> Result<Self, StoreError> {
        check_magic(path, kind)?;
        let database = builder(kind).open(path).map_err(|error| open_error(path, kind, error))?;
        check_version(&database, path, kind)?;
        let opened = Self { database, path: path.to_owned(), max_bytes };
        // The bound may have been lowered since the last time.
        if max_bytes.is_some() {
            opened.put_all(&[])?;
        }
        Ok(opened)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let transaction = self.database.begin_read()?;
            let replies = transaction.open_table(REPLIES)?;
            Ok(replies.get(key)?.map(|record| record.value().to_vec()))
        };
        read().map_err(|error| read_error(&self.path, error))
    }

    pub(crate) fn len(&self) -> Result<u64, StoreError> {
        let read = || -> Result<u64, redb::Error> {
            let transaction = self.database.begin_read()?;
            Ok(transaction.open_table(REPLIES)?.len()?)
        };
        read().map_err(|error| read_error(&self.path, error))
    }

    /// Keeps all entries or none, in one transaction that is on the disk when this returns. What is
    /// known already stays as it is; what goes beyond the bound is dropped, oldest first.
    pub(crate) fn put_all(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            let changed = fill(&transaction, entries, self.max_bytes)?;
            if changed {
                transaction.commit()?
            } else {
                transaction.abort()?
            }
            Ok(())
        };
        write().map_err(|error| write_error(&self.path, error))
    }
}

fn fill(
    transaction: &WriteTransaction,
    entries: &[Entry],
    max_bytes: Option<u64>,
) -> Result<bool, redb::Error> {
    let mut meta = transaction.open_table(META)?;
    let mut replies = transaction.open_table(REPLIES)?;
    let mut order = transaction.open_table(ORDER)?;
    let mut bytes = number(&meta, META_BYTES)?;
    let mut next = number(&meta, META_NEXT)?;
    let mut changed = false;
    for entry in entries {
        let size = size(&entry.key, &entry.record);
        if max_bytes.is_some_and(|limit| size > limit) || replies.get(entry.key.as_slice())?.is_some() {
            continue;
        }
        replies.insert(entry.key.as_slice(), entry.record.as_slice())?;
        order.insert(next, entry.key.as_slice())?;
        next = next.saturating_add(1);
        bytes = bytes.saturating_add(size);
        changed = true;
    }
    while max_bytes.is_some_and(|limit| bytes > limit) {
        let Some(oldest) = order.pop_first()?.map(|(_, key)| key.value().to_vec()) else { break };
        if let Some(record) = replies.remove(oldest.as_slice())? {
            bytes = bytes.saturating_sub(size(&oldest, record.value()));
        }
        changed = true;
    }
    if changed {
        meta.insert(META_NEXT, next)?;
        meta.insert(META_BYTES, bytes)?;
    }
    Ok(changed)
}

fn number(meta: &Table<'_, &str, u64>, name: &str) -> Result<u64, StorageError> {
    Ok(meta.get(name)?.map_or(0, |number| number.value()))
}

/// What a record takes in the file, about: one of more than half a page has pages to itself, a power
/// of two of them; the pages that smaller ones share are two thirds full.
fn size(key: &[u8], record: &[u8]) -> u64 {
    // The key stands in two tables, and both have a few numbers for each entry.
    let bytes = (key.len() as u64).saturating_mul(2).saturating_add(record.len() as u64).saturating_add(64);
    if bytes > PAGE / 2 {
        bytes.max(PAGE).checked_next_power_of_two().unwrap_or(u64::MAX)
    } else {
        bytes.saturating_add(bytes / 2)
    }
}

fn builder(kind: StoreKind) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(PAGE_MEMORY);
    // A file that changed behind the database's back is an error then, and not a panic later.
    builder.set_check_integrity_on_open(true);
    if kind == StoreKind::Cache {
        // Runs that go on at the same time share their cache.
        builder.set_concurrency_mode(ConcurrencyMode::MultiWriter);
    }
    builder
}

/// Looks before the database does, because that would write to what it opens.
fn check_magic(path: &Path, kind: StoreKind) -> Result<(), StoreError> {
    let mut begin = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut begin))
        .map_err(StoreError::io("opening", path))?;
    if begin == MAGIC {
        return Ok(());
    }
    let reason = if begin.is_empty() { "it is empty" } else { "it is no database" };
    Err(StoreError::NotADatabase { path: path.to_owned(), expected: kind, reason: reason.to_owned() })
}

fn check_version(database: &Database, path: &Path, kind: StoreKind) -> Result<(), StoreError> {
    let foreign = |reason: &str| StoreError::NotADatabase {
        path: path.to_owned(),
        expected: kind,
        reason: reason.to_owned(),
    };
    let read = || -> Result<Option<(u64, u64)>, redb::Error> {
        let transaction = database.begin_read()?;
        let meta = match transaction.open_table(META) {
            Err(TableError::Storage(error)) => return Err(error.into()),
            Err(_) => return Ok(None),
            Ok(meta) => meta,
        };
        let number =
            |name| -> Result<Option<u64>, StorageError> { Ok(meta.get(name)?.map(|number| number.value())) };
        Ok(number(META_FORMAT)?.zip(number(META_KIND)?))
    };
    let found = read().map_err(|error| read_error(path, error))?;
    let (format, number) = found.ok_or_else(|| foreign("it is a database of another program"))?;
    if format > FORMAT {
        return Err(StoreError::Newer { path: path.to_owned(), found: format, supported: FORMAT });
    }
    if number != kind_number(kind) {
        return Err(foreign(if kind == StoreKind::Journal { "it is a cache" } else { "it is a journal" }));
    }
    Ok(())
}

fn kind_number(kind: StoreKind) -> u64 {
    match kind {
        StoreKind::Journal => 1,
        StoreKind::Cache => 2,
    }
}

fn open_error(path: &Path, kind: StoreKind, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::InUse { path }
        }
        DatabaseError::UpgradeRequired(version) => StoreError::NotADatabase {
            path,
            expected: kind,
            reason: format!("it is a database of the old file format {version}"),
        },
        DatabaseError::Storage(StorageError::Corrupted(reason)) => StoreError::Corrupt { path, reason },
        DatabaseError::Storage(StorageError::Io(source))
            if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            StoreError::Io { doing: "opening", path, source }
        }
        other => StoreError::Corrupt { path, reason: other.to_string() },
    }
}

fn read_error(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Corrupted(reason) => StoreError::Corrupt { path: path.to_owned(), reason },
        other => StoreError::Read { path: path.to_owned(), reason: other.to_string() },
    }
}

fn write_error(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Corrupted(reason) => StoreError::Corrupt { path: path.to_owned(), reason },
        other => StoreError::Write { path: path.to_owned(), reason: other.to_string() },
    }
}
