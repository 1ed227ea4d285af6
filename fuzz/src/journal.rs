//! A journal that something damaged.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use pollster::block_on;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::LmReply;
use promptopt_core::money::Usage;
use promptopt_store::{Journal, StoreError};
use tempfile::TempDir;

const REPLIES: u64 = 12;

struct Original {
    _folder: TempDir,
    damaged: PathBuf,
    bytes: Vec<u8>,
}

fn key(number: u64) -> ContentHash {
    ContentHash::of(&number)
}

fn reply(number: u64) -> LmReply {
    // One that has pages to itself, and small ones.
    let text = format!("reply {number} ").repeat(if number == 5 { 600 } else { 3 });
    LmReply::text(text, Usage::call(number, 1))
}

fn original() -> &'static Original {
    static ORIGINAL: OnceLock<Original> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        tolerate_the_database();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.redb");
        let journal = Journal::create(&path).expect("a journal");
        for number in 0..REPLIES {
            block_on(journal.put(&key(number), reply(number))).expect("a reply is kept");
        }
        drop(journal);
        let bytes = fs::read(&path).expect("the journal's bytes");
        Original { damaged: folder.path().join("damaged.redb"), bytes, _folder: folder }
    })
}

/// A panic of the database in the thread of a journal is an error of the journal, and no finding.
fn tolerate_the_database() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some("promptopt-journal") {
            before(panic);
        }
    }));
}

/// Makes the changes that the bytes tell: each is a kind, a place and a value.
fn damage(bytes: &mut Vec<u8>, plan: &[u8]) {
    for change in plan.chunks_exact(5) {
        let &[kind, page, high, low, value] = change else { continue };
        let offset = usize::from(u16::from_be_bytes([high, low]));
        // Most of the file is empty; what is not is at its front.
        let at = (usize::from(page) * 4096 + offset % 4096) % bytes.len().max(1);
        match kind % 5 {
            0 => bytes[at] ^= value,
            1 => bytes[at] = value,
            2 => {
                let end = (at + usize::from(value) * 16).min(bytes.len());
                bytes[at..end].fill(0);
            }
            3 => {
                let (from, to) = (at / 4096 * 4096, usize::from(value) * 4096);
                if from + 4096 <= bytes.len() && to + 4096 <= bytes.len() {
                    bytes.copy_within(from..from + 4096, to);
                }
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
}

/// A damaged journal is refused by name and kept, or answers: with what was written, or with an
/// error. Never with a wrong reply.
pub fn journal(plan: &[u8]) {
    let original = original();
    let mut bytes = original.bytes.clone();
    damage(&mut bytes, plan);
    fs::write(&original.damaged, &bytes).expect("writing");
    match Journal::open(&original.damaged) {
        Err(error) => {
            let is_named = error.to_string().contains("damaged.redb");
            assert!(is_named && !matches!(error, StoreError::InUse { .. }), "{error}");
            // The database may have begun to repair the file before it found the damage.
            assert!(original.damaged.is_file(), "a refused file is gone: {error}");
        }
        Ok(journal) => {
            for number in 0..REPLIES {
                match block_on(journal.get(&key(number))) {
                    Ok(kept) => assert!(kept.is_none_or(|kept| kept == reply(number)), "{number}"),
                    Err(error) => assert!(error.to_string().contains("damaged.redb"), "{error}"),
                }
            }
        }
    }
}
