//! What a program asked, kept to ask it the same question once more for nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use promptopt_core::data::ContentHash;
use promptopt_core::lm::{LmError, LmReply, LmRequest};

/// The most replies that are kept.
const MOST: u64 = 256;

/// The calls of one rollout with their replies.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    replies: HashMap<ContentHash, VecDeque<Result<LmReply, LmError>>>,
    count: u64,
    /// Whether the program asks for the second time, and is answered from here alone.
    is_again: bool,
    /// What it asked then that it had not asked before.
    other: Option<LmRequest>,
}

/// What is known of a request.
pub(crate) enum Recalled {
    /// It is asked for the first time.
    First,
    /// What came of it.
    Known(Box<Result<LmReply, LmError>>),
    /// The program had not asked this before.
    Other,
}

impl Memory {
    /// The reply to a request, where the program asks for the second time.
    pub(crate) fn recall(&self, request: &LmRequest) -> Recalled {
        self.with(|kept| {
            if !kept.is_again {
                return Recalled::First;
            }
            let replies = kept.replies.get_mut(&ContentHash::of(request));
            match replies.and_then(VecDeque::pop_front) {
                Some(result) => Recalled::Known(Box::new(result)),
                None => {
                    kept.other.get_or_insert_with(|| request.clone());
                    Recalled::Other
                }
            }
        })
    }

    pub(crate) fn keep(&self, request: ContentHash, result: &Result<LmReply, LmError>) {
        self.with(|kept| {
            kept.count += u64::from(!kept.is_again);
            if kept.count <= MOST && !kept.is_again {
                kept.replies.entry(request).or_default().push_back(result.clone());
            }
        });
    }

    /// From now on the program asks for the second time. Says whether all that it asked is known.
    pub(crate) fn ask_again(&self) -> bool {
        self.with(|kept| {
            kept.is_again = true;
            (1..=MOST).contains(&kept.count)
        })
    }

    /// What it asked the second time and not the first.
    pub(crate) fn other(&self) -> Option<LmRequest> {
        self.with(|kept| kept.other.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
