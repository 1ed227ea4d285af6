//! Memory stays bounded over a whole run.

use promptopt_testkit::{Answer, Fault, FaultPlan};

use super::support::{MAX_REPLY_BYTES, Setup, Which};

/// What the sockets of both ends may hold of a body that the client has stopped reading.
const SOCKETS: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_body_without_end_no_more_is_read_than_the_bound() {
    let plan = FaultPlan::new(21).with([Fault::EndlessBody, Fault::Unavailable], 0.4);
    let run = Setup::new(plan).run(Which::Miprov2).await;
    for fault in [Fault::EndlessBody, Fault::Unavailable] {
        let written: Vec<_> = run
            .log
            .iter()
            .filter(|seen| seen.answer == Answer::Fault(fault))
            .map(|seen| seen.written)
            .collect();
        let most = written.iter().copied().max().unwrap();
        println!("{fault:?}: {} times, {most} bytes at most", written.len());
        assert!(written.len() >= 10, "{fault:?}: {}", written.len());
        assert!(most <= MAX_REPLY_BYTES + SOCKETS, "{fault:?}: {most} bytes");
    }
}
