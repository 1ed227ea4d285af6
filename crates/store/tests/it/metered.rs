//! Calls by clients of a program's own, kept in a journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promptopt_core::lm::{LmError, LmReply, LmRequest, lm_fn};
use promptopt_core::money::Usage;
use promptopt_core::program::CallContext;
use promptopt_store::{Journal, Redactor};
use serde_json::{Value, json};

const ODD: &str = "<think>part of it</think> ◁think▷ [THINK] [/think] \"4\" and s3cret<of-ann";

/// Makes a call of its own, and counts it.
async fn asked(journal: &Journal, question: &str, made: &AtomicU64) -> Result<Value, LmError> {
    let context =
        CallContext::new(Arc::new(lm_fn("unused", |_: LmRequest| async { Ok(LmReply::default()) })));
    let request = json!({"model": "m", "question": question});
    let call = async {
        made.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        anyhow::ensure!(question != "broken", "the line is dead");
        Ok((json!({"id": "r-1", "text": ODD}), Usage::call(9, 2)))
    };
    let response = context.metered_kept(journal, "own/m", &request, call).await?;
    assert_eq!(context.record().1, Usage::call(9, 2));
    Ok(response)
}

#[tokio::test]
async fn a_call_that_was_paid_is_not_made_again_and_a_failure_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let made = AtomicU64::new(0);
    let open = |journal: Result<Journal, _>| -> Journal {
        let journal: Journal = Result::<_, promptopt_store::StoreError>::unwrap(journal);
        journal.redactor(Redactor::new(["s3cret<of-ann".into()]))
    };
    let journal = open(Journal::create(&path));
    let first = asked(&journal, "2 + 2", &made).await.unwrap();
    assert_eq!(first["text"], ODD.replace("s3cret<of-ann", "[redacted]"));
    // Equal calls at once are one.
    let (one, other) = tokio::join!(asked(&journal, "3 + 3", &made), asked(&journal, "3 + 3", &made));
    assert_eq!((one.unwrap(), made.load(Ordering::SeqCst)), (other.unwrap(), 2));
    let failed = asked(&journal, "broken", &made).await.unwrap_err();
    assert_eq!(failed, LmError::Call { message: "the line is dead".into() });
    drop(journal);

    let journal = open(Journal::open(&path));
    assert_eq!(asked(&journal, "2 + 2", &made).await.unwrap(), first);
    assert_eq!(made.load(Ordering::SeqCst), 3);
    asked(&journal, "broken", &made).await.unwrap_err();
    assert_eq!(made.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn whoever_shares_a_call_is_not_left_waiting_for_one_who_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::create(folder.path().join("journal")).unwrap();
    let made = AtomicU64::new(0);
    let mut first = Box::pin(asked(&journal, "2 + 2", &made));
    let mut second = Box::pin(asked(&journal, "2 + 2", &made));
    while made.load(Ordering::SeqCst) == 0 {
        tokio::select! {
            biased;
            _ = &mut first => break,
            _ = &mut second => break,
            () = tokio::task::yield_now() => {}
        }
    }
    drop(first);
    // Whichever of the two made the call, the other one comes to an end, and no run ends with it.
    assert!(!second.await.is_err_and(|error| error.is_fatal()));
}
