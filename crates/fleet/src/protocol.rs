//! What coordinator and workers say to each other. Everything travels as JSON; subjects hold no text of a user.

use std::collections::BTreeMap;

use promptopt_core::data::{ContentHash, Prediction, Score};
use promptopt_core::lm::{LmError, LmReply, LmRequest};
use promptopt_core::trace::{Failure, Step, Trace};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::replies::Outcome;

/// Raised where coordinator and workers of two versions would misunderstand each other.
pub const PROTOCOL: u32 = 2;

/// What coordinator and workers must have alike: for each part its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// The version of what is said.
    pub protocol: u32,
    /// The version of promptopt.
    pub release: String,
    /// Parts of the task, such as `program` and `metric`, by their hashes.
    pub parts: BTreeMap<String, ContentHash>,
}

impl Identity {
    /// Of parts of a task.
    pub fn new(parts: impl IntoIterator<Item = (String, ContentHash)>) -> Self {
        let release = env!("CARGO_PKG_VERSION").to_owned();
        Self { protocol: PROTOCOL, release, parts: parts.into_iter().collect() }
    }

    /// One hash for all of it.
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(self)
    }

    /// What the coordinator has otherwise than a worker; `None` where the two are alike.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let mut parts = Vec::new();
        if self.protocol != other.protocol {
            parts.push(format!("protocol {} and {}", self.protocol, other.protocol));
        }
        if self.release != other.release {
            parts.push(format!("promptopt {} and {}", self.release, other.release));
        }
        let names: std::collections::BTreeSet<&String> =
            self.parts.keys().chain(other.parts.keys()).collect();
        for name in names {
            match (self.parts.get(name), other.parts.get(name)) {
                (own, theirs) if own == theirs => {}
                (None, _) => parts.push(format!("no {name} at the worker")),
                (_, None) => parts.push(format!("no {name} at the coordinator")),
                _ => parts.push(format!("another {name}")),
            }
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// One rollout to be made, as it stands in the queue. What it is about travels once for each worker, by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) example: ContentHash,
    pub(crate) prompts: ContentHash,
}

/// A rollout of a run: the run's name, and its number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId {
    /// The run, as random digits.
    pub run: String,
    /// The number of the rollout.
    pub number: u64,
}

/// What a coordinator tells all workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub(crate) enum News {
    /// A run begins.
    Open { identity: Identity },
    /// A run is over, and nobody waits for its rollouts.
    Over { run: String },
}

/// What a worker asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Ask {
    /// An example or prompts, by their hash.
    Material { hash: ContentHash },
    /// A call of a language model.
    Complete {
        job: JobId,
        /// A number that tells the deliveries of a job apart, and that of the call in its delivery. One that is asked again,
        /// because its answer was lost, keeps both.
        call: (u64, u64),
        /// Which of the program's other models; `None`: the one that it runs on.
        model: Option<usize>,
        request: Box<LmRequest>,
        /// What came of it at the worker, which was allowed to make it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made: Option<Box<Outcome>>,
    },
    /// What became of a rollout.
    Done { job: JobId, result: Box<RolloutResult> },
    /// A rollout that was not possible is out of the queue, and can be put in again.
    Again { job: JobId },
}

/// What the coordinator answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    Material {
        value: Value,
    },
    Reply {
        reply: Box<LmReply>,
    },
    Failed {
        error: LmError,
    },
    /// The worker has the model itself, and may ask it this.
    Allowed {
        request: Box<LmRequest>,
    },
    /// There is no reply yet, and the call may wait for a rollout that no worker has.
    Waiting,
    Noted,
    /// Another worker is to make the rollout.
    Again,
    /// The rollout is of no interest any more.
    Gone,
}

/// A rollout that was made, without what the coordinator knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RolloutResult {
    prediction: Option<Prediction>,
    steps: Vec<Step>,
    score: Option<Score>,
    error: Option<Failure>,
    /// Why it was not possible at the worker, which says nothing of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outage: Option<String>,
    /// What a user should know of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

impl RolloutResult {
    pub(crate) fn of(trace: Trace, outage: Option<String>, notes: Vec<String>) -> Self {
        Self {
            prediction: trace.prediction,
            steps: trace.steps,
            score: trace.score,
            error: trace.error,
            outage,
            notes,
        }
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self {
            prediction: None,
            steps: Vec::new(),
            score: None,
            error: Some(failure),
            outage: None,
            notes: Vec::new(),
        }
    }

    /// Puts it into the trace of the coordinator, all but the steps, which are handed over.
    pub(crate) fn into_trace(self, trace: &mut Trace) -> Vec<Step> {
        (trace.prediction, trace.score, trace.error) = (self.prediction, self.score, self.error);
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let of = |program: &str| {
            Identity::new([
                ("program".to_owned(), ContentHash::of(&program)),
                ("metric".to_owned(), ContentHash::of("m")),
            ])
        };
        assert_eq!(of("a").difference(&of("a")), None);
        assert_eq!(of("a").difference(&of("b")).as_deref(), Some("another program"));
        let mut other = of("a");
        other.parts.insert("file `app.py`".to_owned(), ContentHash::of("app"));
        assert_eq!(of("a").difference(&other).as_deref(), Some("no file `app.py` at the worker"));
        assert_eq!(other.difference(&of("a")).as_deref(), Some("no file `app.py` at the coordinator"));
        (other.protocol, other.release) = (0, "0.0.1".to_owned());
        let says = of("a").difference(&other).unwrap();
        assert!(says.starts_with("protocol 2 and 0, promptopt "), "{says}");
    }
}
