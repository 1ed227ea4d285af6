//! Nothing is sent before the time that the server asked for.

use std::time::SystemTime;

use promptopt_lm::Concurrency;
use promptopt_testkit::{Answer, Fault, FaultPlan, Seen};

use super::support::{Setup, Which};

fn asked(log: &[Seen], fault: Fault) -> usize {
    log.iter().filter(|seen| seen.answer == Answer::Fault(fault) && seen.not_before.is_some()).count()
}

#[tokio::test]
async fn one_at_a_time_nothing_at_all_comes_too_early() {
    let plan = FaultPlan::new(11).with(Fault::ASKING, 0.4);
    let run = Setup { requests: Concurrency::Fixed(1), ..Setup::new(plan) }.run(Which::Miprov2).await;
    for fault in Fault::ASKING {
        assert!(asked(&run.log, fault) >= 5, "{fault:?}");
    }
    let mut closed_until = SystemTime::UNIX_EPOCH;
    for seen in &run.log {
        assert!(seen.arrived >= closed_until, "{seen:?} came before {closed_until:?}");
        closed_until = closed_until.max(seen.not_before.unwrap_or(closed_until));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_a_time_no_request_is_tried_again_too_early() {
    for which in Which::ALL {
        let plan = FaultPlan::new(12).with(Fault::ASKING, 0.4);
        let setup = Setup { requests: Concurrency::Fixed(16), concurrency: 32, ..Setup::new(plan) };
        let run = setup.run(which).await;
        let mut retries = 0;
        for (index, refused) in run.log.iter().enumerate() {
            let Some(not_before) = refused.not_before else { continue };
            let again = run.log[index + 1..].iter().find(|seen| seen.content == refused.content);
            let again = again.expect("what is refused is tried again");
            assert!(again.arrived >= not_before, "{which:?}: {again:?} after {refused:?}");
            retries += 1;
        }
        assert!(retries >= 20, "{retries}");
    }
}
