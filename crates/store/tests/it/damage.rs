//! Files that are not what was written.

use std::fs;
use std::path::Path;

use promptopt_store::{Cache, CacheMode, Journal, StoreError, StoreKind};
use rand::{Rng, RngExt as _, SeedableRng as _};
use redb::{Database, TableDefinition};

use crate::support::{answer, block_on, key, request};

const REPLIES: usize = 120;

fn text(number: usize) -> String {
    format!("request {number}")
}

fn fill(path: &Path) -> Journal {
    let journal = Journal::create(path).unwrap();
    block_on(async {
        for number in 0..REPLIES {
            journal.put(&key(text(number)), answer(&request(text(number)))).await.unwrap();
        }
    });
    journal
}

fn damage(bytes: &mut Vec<u8>, rng: &mut impl Rng) {
    match rng.random_range(0..5) {
        0 => bytes.truncate(rng.random_range(0..bytes.len())),
        1 => {
            let at = rng.random_range(0..bytes.len());
            let end = (at + rng.random_range(1..5000)).min(bytes.len());
            bytes[at..end].fill(0);
        }
        2 => {
            let (from, to) =
                (rng.random_range(0..bytes.len() / 4096), rng.random_range(0..bytes.len() / 4096));
            bytes.copy_within(from * 4096..from * 4096 + 4096, to * 4096);
        }
        3 => {
            // The head of the file says where everything is.
            let at = rng.random_range(0..512);
            bytes[at] ^= rng.random_range(1..=255_u8);
        }
        _ => {
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= rng.random_range(1..=255_u8);
            }
        }
    }
}

/// A file that says it was not closed is repaired before it is checked, which writes to its first page. All
/// else that is refused is left as it is.
fn check_kept(before: &[u8], after: &[u8]) {
    const FLAGS: usize = 9;
    const UNCLOSED: u8 = 2;
    let unclosed = before.get(FLAGS).is_some_and(|flags| flags & UNCLOSED != 0);
    let from = if unclosed { 4096.min(before.len()) } else { 0 };
    assert!(
        after.len() >= before.len() && after[from..before.len()] == before[from..],
        "a refused file was changed"
    );
}

/// Returns how many replies are gone without a word, or `None` when the file was refused.
fn look(path: &Path) -> Option<usize> {
    let before = fs::read(path).unwrap();
    let journal = match Journal::open(path) {
        Ok(journal) => journal,
        Err(error) => {
            let named = error.to_string().contains("damaged.redb");
            assert!(named, "{error}");
            check_kept(&before, &fs::read(path).unwrap());
            return None;
        }
    };
    let mut missing = 0;
    block_on(async {
        for number in 0..REPLIES {
            match journal.get(&key(text(number))).await {
                Ok(Some(reply)) => assert_eq!(reply, answer(&request(text(number)))),
                Ok(None) => missing += 1,
                Err(error) => assert!(error.to_string().contains("damaged.redb"), "{error}"),
            }
        }
    });
    Some(missing)
}

#[test]
fn damage_is_an_error_or_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    drop(fill(&path));
    let whole = fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.redb");
    let cases = std::env::var("PROMPTOPT_STORE_TEST_CASES").map_or(150, |cases| cases.parse().unwrap());
    let (mut refused, mut lost) = (0, 0);
    for seed in 0..cases {
        let mut bytes = whole.clone();
        damage(&mut bytes, &mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
        fs::write(&damaged, &bytes).unwrap();
        match look(&damaged) {
            None => refused += 1,
            Some(missing) => lost += usize::from(missing > 0),
        }
    }
    println!("{cases} damaged files: {refused} refused, {lost} with replies missing");
    assert!(refused > 0);
    assert_eq!(lost, 0);
}

#[test]
fn damage_after_a_crash_gives_no_wrong_reply() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let journal = fill(&path);
    // The file as a crash would leave it: not closed.
    let whole = fs::read(&path).unwrap();
    drop(journal);
    let damaged = folder.path().join("damaged.redb");
    fs::write(&damaged, &whole).unwrap();
    assert_eq!(look(&damaged), Some(0));
    for seed in 0..80 {
        let mut bytes = whole.clone();
        damage(&mut bytes, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1000 + seed));
        fs::write(&damaged, &bytes).unwrap();
        look(&damaged);
    }
}

/// What a fuzzer found: flags of the head that say the file was not closed, and a root that points nowhere.
#[test]
fn a_file_that_is_damaged_and_unclosed_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.redb");
    drop(fill(&path));
    let mut bytes = fs::read(&path).unwrap();
    bytes[192] ^= 0xff;
    bytes[9] ^= 0x3b;
    fs::write(&path, &bytes).unwrap();
    let error = Journal::open(&path).err().unwrap().to_string();
    assert!(error.contains("damaged.redb is damaged") && error.contains("it was not removed"), "{error}");
    check_kept(&bytes, &fs::read(&path).unwrap());
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    for content in ["", "re", "redis", "a long text that is surely no database ".repeat(200).as_str()] {
        fs::write(&path, content).unwrap();
        let error = Journal::open(&path).err().unwrap();
        assert!(error.to_string().contains("is not a promptopt journal"), "{error}");
        assert!(Journal::create(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    assert!(matches!(Journal::open(folder.path().join("none")), Err(StoreError::Io { .. })));
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let table: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(table).unwrap().insert("theirs", "kept").unwrap();
    write.commit().unwrap();
    drop(database);
    let error = Journal::open(&path).err().unwrap();
    assert!(matches!(error, StoreError::NotADatabase { expected: StoreKind::Journal, .. }), "{error}");
    let database = Database::open(&path).unwrap();
    let read = redb::ReadableDatabase::begin_read(&database).unwrap();
    assert_eq!(read.open_table(table).unwrap().get("theirs").unwrap().unwrap().value(), "kept");
}

#[test]
fn a_newer_file_and_the_wrong_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    drop(fill(&path));
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let set = |name: &str, value: u64| {
        let database = Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(meta).unwrap().insert(name, value).unwrap();
        write.commit().unwrap();
    };
    set("format", 2);
    let error = Journal::open(&path).err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 2, supported: 1, .. }), "{error}");
    set("format", 1);
    set("kind", 2);
    let error = Journal::open(&path).err().unwrap();
    assert!(error.to_string().contains("it is a cache"), "{error}");
    set("kind", 1);
    assert_eq!(look_whole(&path), REPLIES as u64);

    let directory = folder.path().join("cache");
    fs::create_dir(&directory).unwrap();
    fs::copy(&path, directory.join("replies.redb")).unwrap();
    let error = Cache::open(&directory, CacheMode::ReadWrite, 1000).err().unwrap();
    assert!(error.to_string().contains("it is a journal"), "{error}");
}

fn look_whole(path: &Path) -> u64 {
    Journal::open(path).unwrap().replies_at_open()
}
