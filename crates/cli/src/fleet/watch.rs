//! Who makes the rollouts of a run, as its progress says it.

use std::sync::Arc;
use std::time::Duration;

use promptopt_fleet::{Fleet, Member, Role};
use tokio::task::JoinHandle;

use crate::progress::Progress;

/// How often workers are counted.
const EVERY: Duration = Duration::from_secs(3);

/// Says how many workers there are whenever that changes, until it is dropped.
pub(crate) struct Watch(JoinHandle<()>);

impl Watch {
    pub(super) fn begin(fleet: Arc<Fleet>, progress: Arc<Progress>) -> Self {
        Self(tokio::spawn(async move {
            let mut before = None;
            loop {
                // Where nobody can be asked, nothing is known.
                if let Some((workers, others)) = fleet.workers().await {
                    let seen = (workers.len(), others, fleet.figures().offered_again);
                    if before != Some(seen) {
                        progress.line(&line(&workers, others, seen.2));
                        before = Some(seen);
                    }
                }
                tokio::time::sleep(EVERY).await;
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn line(workers: &[Member], others: usize, offered_again: u64) -> String {
    let (slots, busy) = workers.iter().fold((0, 0), |(slots, busy), worker| match worker.role {
        Role::Worker { slots: of, busy: now, .. } => (slots + of, busy + now),
        _ => (slots, busy),
    });
    let mut line = match workers.len() {
        0 if others > 0 => format!(
            "fleet: no worker of this task is there, but {others} that differ: start one with this task file and these files"
        ),
        0 => "fleet: no worker is there: start one with `promptopt worker TASK --fleet URL`".to_owned(),
        1 => format!("fleet: 1 worker, {busy} of {slots} slots busy"),
        many => format!("fleet: {many} workers, {busy} of {slots} slots busy"),
    };
    if offered_again > 0 {
        line.push_str(&format!(", {offered_again} rollouts handed out again"));
    }
    line
}
