//! A file on the hub that is read in part: blocks are asked for when they are needed, and kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes, BytesMut};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use ureq::http::{StatusCode, header};
use url::Url;

use super::HubError;
use super::cache::{self, Cache};
use super::client::{Answer, Client, Failure, host, network};
use super::listing::refused;

/// How much is asked for at once where a file is read in part.
const BLOCK_BYTES: u64 = 1024 * 1024;
/// The largest file there can be, in bytes.
const LARGEST: u64 = 1 << 50;
/// How much is asked for at once where a file is read as a whole.
const CHUNK_BYTES: u64 = 8 * 1024 * 1024;
/// A file up to this size is loaded as a whole, even where only a part is needed.
const SMALL_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// How many blocks are held in memory: more than the columns that a program takes its fields from.
const RECENT_BLOCKS: usize = 16;

/// A file as it can be had.
pub(crate) enum Fetched {
    /// It is in the cache as a whole.
    Whole(File),
    /// It is read over the network, block by block.
    Partial(RemoteFile),
}

/// What it takes to have files of one commit.
pub(crate) struct Source {
    pub(crate) client: Client,
    pub(crate) cache: Cache,
    pub(crate) repo: String,
    pub(crate) commit: String,
    pub(crate) offline: bool,
}

impl Source {
    /// A file of the commit: from the cache, else as a whole, else — where it is large and `partly`
    /// is set — block by block.
    pub(crate) fn fetch(self: &Arc<Self>, path: &str, partly: bool) -> Result<Fetched, HubError> {
        let place = self.cache.file(&self.commit, path);
        match File::open(&place) {
            Ok(file) => return Ok(Fetched::Whole(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(HubError::Cache { path: place, source }),
        }
        let mut remote = RemoteFile::new(Arc::clone(self), path);
        let known =
            cache::read(&remote.size_file())?.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        let (size, first) = match known {
            Some(size) if partly => (size, None),
            _ => match remote.inner.first_block()? {
                First::Block { block, size } => (size, Some(block)),
                // The server does not do parts.
                First::Everything(answer) => {
                    cache::write(&place, |file| copy(answer, file))?;
                    return whole(place);
                }
            },
        };
        if partly && size > SMALL_FILE_BYTES {
            cache::write_bytes(&remote.size_file(), size.to_string().as_bytes())?;
            if let Some(block) = first {
                cache::write_bytes(&remote.inner.block_file(0), &block)?;
            }
            remote.size = size;
            return Ok(Fetched::Partial(remote));
        }
        cache::write(&place, |file| {
            let mut at = 0;
            let mut put = |bytes: &[u8], at: &mut u64| {
                *at += bytes.len() as u64;
                file.write_all(bytes).map_err(|source| HubError::Cache { path: place.clone(), source })
            };
            put(&first.unwrap_or_default(), &mut at)?;
            while at < size {
                let bytes = remote.inner.range(at, (at + CHUNK_BYTES).min(size))?;
                put(&bytes, &mut at)?;
            }
            Ok(())
        })?;
        whole(place)
    }
}

fn whole(path: PathBuf) -> Result<Fetched, HubError> {
    File::open(&path).map(Fetched::Whole).map_err(|source| HubError::Cache { path, source })
}

fn copy(answer: Answer, file: &mut dyn Write) -> Result<(), HubError> {
    let mut body = answer.body.into_with_config().limit(u64::MAX).reader();
    io::copy(&mut body, file).map(drop).map_err(|error| network(&answer.url, &error))
}

/// A file of the hub that is read in blocks. Clones share what was read.
#[derive(Clone)]
pub(crate) struct RemoteFile {
    inner: Arc<Blocks>,
    size: u64,
}

struct Blocks {
    source: Arc<Source>,
    path: String,
    url: Url,
    /// Where the last redirect led, so that not every block asks the hub for it.
    location: Mutex<Option<Url>>,
    recent: Mutex<VecDeque<(u64, Bytes)>>,
}

enum First {
    Block { block: Bytes, size: u64 },
    Everything(Answer),
}

impl RemoteFile {
    fn new(source: Arc<Source>, path: &str) -> Self {
        let start = ["datasets"].into_iter().chain(source.repo.split('/'));
        let url = source.client.url(start.chain(["resolve", source.commit.as_str()]).chain(path.split('/')));
        let blocks = Blocks {
            source,
            path: path.to_owned(),
            url,
            location: Mutex::default(),
            recent: Mutex::default(),
        };
        Self { inner: Arc::new(blocks), size: 0 }
    }

    fn size_file(&self) -> PathBuf {
        self.inner.folder().join("size")
    }

    /// A reader of the bytes from `start` on.
    pub(crate) fn reader(&self, start: u64) -> RemoteReader {
        RemoteReader { file: self.clone(), at: start, rest: Bytes::new() }
    }

    /// What stands from `start` to the end of its block; nothing at the end of the file.
    fn rest_of_block(&self, start: u64) -> Result<Bytes, HubError> {
        if start >= self.size {
            return Ok(Bytes::new());
        }
        let mut block = self.inner.block(start / BLOCK_BYTES, self.size)?;
        block.advance(block.len().min((start % BLOCK_BYTES) as usize));
        Ok(block)
    }
}

impl Blocks {
    fn folder(&self) -> PathBuf {
        self.source.cache.blocks(&self.source.commit, &self.path)
    }

    fn block_file(&self, index: u64) -> PathBuf {
        self.folder().join(index.to_string())
    }

    /// A block: from memory, from the cache, or from the hub.
    fn block(&self, index: u64, size: u64) -> Result<Bytes, HubError> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, block)) = recent.iter().find(|(known, _)| *known == index) {
            return Ok(block.clone());
        }
        let (start, end) = (index * BLOCK_BYTES, ((index + 1) * BLOCK_BYTES).min(size));
        let kept = cache::read(&self.block_file(index))?.filter(|block| block.len() as u64 == end - start);
        let block = match kept {
            Some(block) => Bytes::from(block),
            None => {
                let block = self.range(start, end)?;
                cache::write_bytes(&self.block_file(index), &block)?;
                block
            }
        };
        recent.push_back((index, block.clone()));
        if recent.len() > RECENT_BLOCKS {
            recent.pop_front();
        }
        Ok(block)
    }

    /// The first block, from which the size of the file is known.
    fn first_block(&self) -> Result<First, HubError> {
        let answer = match self.ask(0, BLOCK_BYTES - 1) {
            // No byte can be asked for of an empty file.
            Err(Failure::Refused(refusal)) if refusal.status == 416 => {
                return Ok(First::Block { block: Bytes::new(), size: 0 });
            }
            other => other.map_err(|failure| self.error(failure))?,
        };
        if answer.status != StatusCode::PARTIAL_CONTENT {
            return Ok(First::Everything(answer));
        }
        let range = answer.headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let size = range.and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        let size = size.filter(|size| *size <= LARGEST);
        let size = size.ok_or_else(|| self.odd(&answer, "no size in Content-Range"))?;
        let block = self.body(answer, BLOCK_BYTES.min(size))?;
        Ok(First::Block { block, size })
    }

    /// The bytes from `start` up to `end`.
    fn range(&self, start: u64, end: u64) -> Result<Bytes, HubError> {
        let answer = self.ask(start, end - 1).map_err(|failure| self.error(failure))?;
        if answer.status != StatusCode::PARTIAL_CONTENT {
            return Err(self.odd(&answer, "not the part of the file that was asked for"));
        }
        self.body(answer, end - start)
    }

    fn body(&self, mut answer: Answer, expected: u64) -> Result<Bytes, HubError> {
        let body = answer.body.with_config().limit(expected + 1).read_to_vec();
        let body = body.map_err(|error| network(&answer.url, &error))?;
        if body.len() as u64 != expected {
            return Err(self.odd(&answer, "another number of bytes than was asked for"));
        }
        Ok(body.into())
    }

    fn ask(&self, first: u64, last: u64) -> Result<Answer, Failure> {
        if self.source.offline {
            let (what, cache) = (format!("`{}`", self.path), self.source.cache.root().to_owned());
            return Err(Failure::Error(HubError::Offline { what, cache }));
        }
        let mut location = self.location.lock().unwrap_or_else(PoisonError::into_inner);
        // An address that was redirected to ends to be valid after a while: then the hub is asked anew.
        if let Some(url) = location.take()
            && let Ok(answer) = self.source.client.get(&url, Some((first, last)))
        {
            *location = Some(url);
            return Ok(answer);
        }
        let answer = self.source.client.get(&self.url, Some((first, last)))?;
        *location = Some(answer.url.clone());
        Ok(answer)
    }

    fn error(&self, failure: Failure) -> HubError {
        let what = format!("for `{}`", self.path);
        match failure {
            Failure::Error(error) => error,
            Failure::Refused(refusal) if matches!(refusal.status, 401 | 403) => {
                refused(&self.source.client, &self.source.repo, refusal, &self.url, &what)
            }
            Failure::Refused(refusal) => refusal.error(&self.url, &what),
        }
    }

    fn odd(&self, answer: &Answer, reason: &str) -> HubError {
        let what = format!("for `{}`", self.path);
        HubError::Answer { host: host(&answer.url), what, reason: reason.to_owned() }
    }
}

impl Length for RemoteFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for RemoteFile {
    type T = RemoteReader;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.reader(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = BytesMut::new();
        while bytes.len() < length {
            let rest = self.rest_of_block(start.saturating_add(bytes.len() as u64));
            let mut rest = rest.map_err(|error| ParquetError::External(Box::new(error)))?;
            if rest.is_empty() {
                return Err(ParquetError::EOF("the file ends too early".to_owned()));
            }
            rest.truncate(length - bytes.len());
            bytes.extend_from_slice(&rest);
        }
        Ok(bytes.freeze())
    }
}

/// Reads a remote file on from a place.
pub(crate) struct RemoteReader {
    file: RemoteFile,
    at: u64,
    rest: Bytes,
}

impl Read for RemoteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.file.rest_of_block(self.at).map_err(io::Error::other)?;
        }
        let count = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        self.at += count as u64;
        Ok(count)
    }
}
