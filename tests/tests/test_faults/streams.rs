//! Streams from a server that misbehaves: what comes out is the reply that comes whole, or an error, and what was told is
//! a beginning of it.

use std::sync::Arc;
use std::time::Duration;

use promptopt_core::lm::{Attempts, LanguageModel as _, LmReply, LmRequest, Message, Piece, lm_fn};
use promptopt_core::money::Usage;
use promptopt_lm::{ChatClient, Timer};
use promptopt_testkit::{Fault, FaultPlan, FaultServer};

use super::support::{JumpingClock, MAX_REPLY_BYTES};

const ANSWER: &str = "The lamp is in the post – it comes on Tuesday. \u{1f4a1}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_comes_to_the_whole_reply_or_says_why_not() {
    let model =
        || Arc::new(lm_fn("m", |_: LmRequest| async { Ok(LmReply::text(ANSWER, Usage::call(9, 9))) }));
    for fault in Fault::ALL {
        let clock = Arc::<JumpingClock>::default();
        let time_of_day = Arc::clone(&clock);
        let plan = FaultPlan::new(5).with([fault], 0.7).stall(Duration::from_secs(5));
        let plan = plan.time_of_day(move || time_of_day.now());
        let server = FaultServer::start(model(), plan).await.unwrap();
        let millis = Duration::from_millis;
        let client = ChatClient::builder()
            .base_url(server.base_url())
            .model("m")
            .api_key("none")
            .first_byte_timeout(millis(150))
            .max_silence(millis(150))
            .max_reply_bytes(MAX_REPLY_BYTES / 64)
            .clock(clock as Arc<dyn Timer>)
            .build()
            .unwrap();
        let (mut whole, mut broken) = (0, 0);
        for number in 0..12 {
            let request = LmRequest::new(vec![Message::user(format!("Where is lamp {number}?"))]);
            let mut told = String::new();
            let mut tell = |piece: Piece<'_>| match piece {
                Piece::Text(text) => told.push_str(text),
                _ => told.clear(),
            };
            let result = client.stream(&request, &Attempts::any(), &mut tell).await;
            match result {
                Ok(reply) => {
                    assert_eq!((reply.first_text(), told.as_str()), (ANSWER, ANSWER), "{fault:?}");
                    whole += 1;
                }
                Err(error) => {
                    assert!(
                        !told.is_empty() && ANSWER.starts_with(&told),
                        "{fault:?}: {error}, told {told:?}"
                    );
                    assert!(
                        error.to_string().contains("handed on") || !error.is_retryable() || {
                            matches!(error, promptopt_core::lm::LmError::TooLarge { .. })
                        },
                        "{error}"
                    );
                    broken += 1;
                }
            }
        }
        assert!(whole > 0, "{fault:?}");
        // Only what breaks off in the middle cannot be tried again.
        let is_midway =
            matches!(fault, Fault::Cut | Fault::SlowBody | Fault::TruncatedJson | Fault::EndlessBody);
        assert!(is_midway || broken == 0, "{fault:?}: {broken}");
    }
}
