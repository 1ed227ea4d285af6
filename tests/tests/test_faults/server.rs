//! The server does as planned, seen by a client that does not try again.

use std::sync::Arc;
use std::time::Duration;

use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, Message};
use promptopt_lm::ChatClient;
use promptopt_testkit::{Answer, Fault, FaultPlan, FaultServer, ScriptedLm};

async fn start(plan: FaultPlan) -> (ChatClient, FaultServer) {
    let server = FaultServer::start(Arc::new(ScriptedLm::new(|_| Ok("yes".to_owned()))), plan).await.unwrap();
    let client = ChatClient::builder()
        .base_url(server.base_url())
        .model("simulated")
        .timeout(Duration::from_millis(300))
        .max_reply_bytes(10_000)
        .max_retries(0)
        .build()
        .unwrap();
    (client, server)
}

async fn ask(client: &ChatClient) -> Result<LmReply, LmError> {
    client.complete(&LmRequest::new(vec![Message::user("Well?")]), &Attempts::any()).await
}

#[tokio::test]
async fn every_fault_is_what_its_name_says_and_ends() {
    for fault in Fault::ALL {
        let (client, server) = start(FaultPlan::new(5).with([fault], 1.0).most_in_a_row(1)).await;
        let error = ask(&client).await.unwrap_err();
        let is_right = match fault {
            Fault::InternalError => matches!(error, LmError::Server { status: 500, .. }),
            Fault::Unavailable => matches!(error, LmError::Server { status: 503, .. }),
            Fault::Cut => matches!(error, LmError::Connection { .. }),
            Fault::SlowFirstByte | Fault::SlowBody => matches!(error, LmError::Timeout { .. }),
            Fault::TruncatedJson | Fault::WebPage => matches!(error, LmError::MalformedReply { .. }),
            Fault::EndlessBody => matches!(error, LmError::TooLarge { limit: 10_000 }),
            _ => matches!(error, LmError::RateLimited { retry_after: Some(_), .. }),
        };
        assert!(is_right, "{fault:?}: {error}");
        let [seen] = &server.log().await[..] else { panic!("one request was sent") };
        assert_eq!(seen.answer, Answer::Fault(fault));
        assert_eq!(seen.not_before.is_some(), Fault::ASKING.contains(&fault));
        assert_eq!(seen.may_be_billed(), error.may_be_billed(), "{fault:?}");
    }
}

#[tokio::test]
async fn the_request_after_the_most_faults_in_a_row_is_answered() {
    let plan = FaultPlan::new(5).with([Fault::InternalError, Fault::TruncatedJson], 1.0).most_in_a_row(3);
    let (client, server) = start(plan).await;
    let mut answered = Vec::new();
    for _ in 0..8 {
        answered.push(ask(&client).await.is_ok());
    }
    assert_eq!(answered, [false, false, false, true, false, false, false, true]);
    assert_eq!(server.log().await.len(), 8);
}

#[tokio::test]
async fn a_wait_is_asked_for_in_full_and_a_stall_ends_by_itself() {
    let asked = Duration::from_millis(1500);
    for fault in Fault::ASKING {
        let (client, server) = start(FaultPlan::new(6).with([fault], 1.0).asked_wait(asked)).await;
        let told = ask(&client).await.unwrap_err().retry_after().unwrap();
        assert!((asked..asked + Duration::from_secs(2)).contains(&told), "{fault:?}: {told:?}");
        let seen = &server.log().await[0];
        assert!(seen.not_before.unwrap() >= seen.arrived + asked, "{seen:?}");
    }
    for fault in [Fault::SlowFirstByte, Fault::SlowBody] {
        let (client, server) = start(FaultPlan::new(6).with([fault], 1.0).stall(Duration::ZERO)).await;
        assert_eq!(ask(&client).await.unwrap().first_text(), "yes");
        assert_eq!(server.log().await[0].answer, Answer::Fault(fault));
    }
}
