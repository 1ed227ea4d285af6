//! The journal alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::LmReply;
use promptopt_core::money::Usage;
use promptopt_store::{Journal, MAX_REPLY_BYTES, StoreError};
use proptest::prelude::*;

use crate::support::block_on;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn what_was_put_first_is_found_also_after_reopening(
        steps in prop::collection::vec(
            (0_u8..12, "\\PC{0,40}", any::<[u32; 3]>(), prop::bool::weighted(0.15)), 1..30,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.redb");
        let mut expected: HashMap<ContentHash, LmReply> = HashMap::new();
        let mut journal = Journal::create(&path).unwrap();
        for (name, text, [calls, prompt, completion], reopen) in steps {
            let key = ContentHash::of(&name);
            let usage = Usage::call(prompt.into(), completion.into()).with_calls(calls.into());
            let reply = LmReply::text(text, usage);
            block_on(journal.put(&key, reply.clone())).unwrap();
            expected.entry(key).or_insert(reply);
            if reopen {
                drop(journal);
                journal = Journal::open(&path).unwrap();
                prop_assert_eq!(journal.replies_at_open(), expected.len() as u64);
            }
            for name in 0_u8..12 {
                let key = ContentHash::of(&name);
                let found = block_on(journal.get(&key)).unwrap();
                prop_assert_eq!(found.as_ref(), expected.get(&key));
            }
            prop_assert_eq!(block_on(journal.len()).unwrap(), expected.len() as u64);
        }
    }
}

#[test]
fn a_file_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let journal = Journal::create(&path).unwrap();
    assert!(block_on(journal.is_empty()).unwrap());
    assert!(matches!(Journal::open(&path), Err(StoreError::InUse { .. })));
    drop(journal.clone());
    assert!(matches!(Journal::open(&path), Err(StoreError::InUse { .. })));
    drop(journal);
    assert!(Journal::open(&path).is_ok());
}

#[test]
fn a_reply_beyond_the_bound_is_an_error_and_the_journal_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::create(folder.path().join("journal.redb")).unwrap();
    let reply = |size| LmReply::text("x".repeat(size), Usage::default());
    block_on(async {
        let (large, small) = (ContentHash::of("large"), ContentHash::of("small"));
        let error = journal.put(&large, reply(MAX_REPLY_BYTES)).await.unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
        assert_eq!(journal.get(&large).await.unwrap(), None);
        journal.put(&small, reply(MAX_REPLY_BYTES - 1000)).await.unwrap();
        assert_eq!(journal.get(&small).await.unwrap(), Some(reply(MAX_REPLY_BYTES - 1000)));
    });
}

#[test]
fn waiting_puts_share_their_flushes() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::create(folder.path().join("journal.redb")).unwrap());
    let put = |number: u64| {
        let journal = Arc::clone(&journal);
        async move { journal.put(&ContentHash::of(&number), LmReply::text("x", Usage::default())).await.unwrap() }
    };
    block_on(async {
        let begin = Instant::now();
        for number in 0..40 {
            put(number).await;
        }
        let alone = begin.elapsed() / 40;
        let begin = Instant::now();
        join_all((100..1124).map(put)).await;
        let together = begin.elapsed() / 1024;
        println!("a put alone takes {alone:?}, one of 1024 at once {together:?}");
        assert!(together < alone);
        assert_eq!(journal.len().await.unwrap(), 1064);
    });
}
