//! The cache that runs share.

use std::fs;
use std::sync::Arc;

use promptopt_core::data::ContentHash;
use promptopt_core::lm::LmReply;
use promptopt_core::money::Usage;
use promptopt_store::{Cache, CacheMode, Journal, StoredModel};

use crate::support::{Echo, answer, ask, block_on, key, request};

fn reply(size: usize) -> LmReply {
    LmReply::text("x".repeat(size), Usage::default())
}

fn fill(cache: &Cache, numbers: std::ops::Range<u64>, size: usize) {
    let put = numbers.map(|number| async move { cache.put(&ContentHash::of(&number), &reply(size)).await });
    block_on(futures_util::future::join_all(put));
}

fn has(cache: &Cache, number: u64) -> bool {
    block_on(cache.get(&ContentHash::of(&number))).unwrap().is_some()
}

#[test]
fn the_oldest_go_when_the_bound_is_reached() {
    const BOUND: u64 = 1_000_000;
    // The database begins with pages of its own and grows in steps.
    const OWN: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), CacheMode::ReadWrite, BOUND).unwrap().unwrap();
    // One after the other: which of several puts at once is the oldest is for the machine to say.
    for number in 0..1000 {
        fill(&cache, number..number + 1, 10_000);
        // Each takes sixteen kilobytes in the file.
        assert!(block_on(cache.len()).unwrap() <= BOUND / 16_384);
    }
    let kept = block_on(cache.len()).unwrap();
    assert!(kept > 50, "{kept}");
    assert!(has(&cache, 999) && has(&cache, 1000 - kept) && !has(&cache, 999 - kept));
    let size = fs::metadata(cache.path()).unwrap().len();
    assert!(size < 3 * BOUND + OWN, "the file has {size} bytes");
    // What does not fit at all leaves the rest alone.
    block_on(cache.put(&ContentHash::of("large"), &reply(2_000_000)));
    assert_eq!(block_on(cache.len()).unwrap(), kept);
    drop(cache);

    let cache = Cache::open(folder.path(), CacheMode::ReadWrite, BOUND / 4).unwrap().unwrap();
    let fewer = block_on(cache.len()).unwrap();
    assert!(fewer <= kept / 4 && has(&cache, 999), "{fewer}");
}

#[test]
fn modes_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("deep/cache");
    assert!(Cache::open(&place, CacheMode::Off, 1 << 20).unwrap().is_none());
    assert!(Cache::open(&place, CacheMode::Read, 1 << 20).unwrap().is_none());
    assert!(!place.exists());
    let cache = Cache::open(&place, CacheMode::ReadWrite, 1 << 20).unwrap().unwrap();
    fill(&cache, 0..2, 10);
    drop(cache);
    let cache = Cache::open(&place, CacheMode::Read, 0).unwrap().unwrap();
    fill(&cache, 2..3, 10);
    assert!(has(&cache, 0) && has(&cache, 1) && !has(&cache, 2));
}

#[test]
fn a_hit_is_journalled_so_a_resumed_run_does_without_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Arc::new(Echo::default());
    let cache = || Cache::open(folder.path().join("cache"), CacheMode::ReadWrite, 1 << 20).unwrap();
    let path = |name: &str| folder.path().join(name);
    let reply = |model: &StoredModel| block_on(ask(model, &request("same"))).unwrap();

    let first = StoredModel::new(echo.clone(), Some(Journal::create(path("one.redb")).unwrap()), cache());
    assert_eq!(reply(&first), answer(&request("same")));
    drop(first);
    let second = StoredModel::new(echo.clone(), Some(Journal::create(path("two.redb")).unwrap()), cache());
    assert_eq!(reply(&second), answer(&request("same")));
    assert_eq!((second.stats().paid.calls, second.stats().cached), (0, answer(&request("same")).usage));
    drop(second);
    let resumed = StoredModel::new(echo.clone(), Some(Journal::open(path("two.redb")).unwrap()), None);
    assert_eq!(reply(&resumed), answer(&request("same")));
    assert_eq!(resumed.stats().replayed.calls, 1);
    drop(resumed);
    let alone = StoredModel::new(echo.clone(), None, cache());
    assert_eq!(reply(&alone), answer(&request("same")));
    assert_eq!(echo.calls(), 1);
}

#[test]
fn a_damaged_reply_in_the_cache_stops_the_run_before_a_call() {
    let folder = tempfile::tempdir().unwrap();
    drop(Cache::open(folder.path(), CacheMode::ReadWrite, 1 << 20).unwrap());
    let path = folder.path().join("replies.redb");
    let database = redb::Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    let replies: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("replies");
    write.open_table(replies).unwrap().insert(key("same").as_bytes(), &b"\x01rubbish"[..]).unwrap();
    write.commit().unwrap();
    drop(database);
    let echo = Arc::new(Echo::default());
    let cache = Cache::open(folder.path(), CacheMode::ReadWrite, 1 << 20).unwrap();
    let model = StoredModel::new(echo.clone(), None, cache);
    let error = block_on(ask(&model, &request("same"))).unwrap_err();
    assert!(error.is_fatal() && error.to_string().contains("replies.redb is damaged"), "{error}");
    assert_eq!(echo.calls(), 0);
}
