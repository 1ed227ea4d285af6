//! A closure around a language model.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile, Piece, Tell};

/// The model inside [`around`], with the permission for further attempts that came with the request.
#[derive(Clone)]
pub struct Next {
    model: Arc<dyn LanguageModel>,
    attempts: Attempts,
    /// Where the pieces of a stream wait for whoever is told them.
    pieces: Option<Arc<Mutex<Vec<Said>>>>,
}

/// A [`Piece`] that waits.
enum Said {
    Text(String),
    Restart,
}

impl Next {
    /// Asks the model inside.
    ///
    /// # Errors
    ///
    /// What the model inside says.
    pub async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let Some(pieces) = &self.pieces else { return self.model.complete(request, &self.attempts).await };
        let say = |said: Said| pieces.lock().unwrap_or_else(PoisonError::into_inner).push(said);
        // What an earlier request of the same closure said is no part of this answer.
        say(Said::Restart);
        let mut tell = |piece: Piece<'_>| match piece {
            Piece::Text(text) => say(Said::Text(text.to_owned())),
            Piece::Restart => say(Said::Restart),
        };
        self.model.stream(request, &self.attempts, &mut tell).await
    }
}

/// A model with a closure around it; see [`around`].
pub struct Around<F> {
    model: Arc<dyn LanguageModel>,
    profile: ModelProfile,
    complete: F,
}

/// Puts a closure around a model, for a log, spans, a cache or faults of one's own. The closure gets the model inside and
/// the request, and gives the reply: it may ask first, change the request or the reply, count, wait or fail. The profile of
/// the model inside is handed on, and so are the permission for further attempts and the pieces of a stream. Where the closure changes what is
/// replied, give the model another id ([`Around::with_profile`]), so that stores tell its replies apart.
///
/// ```
/// use promptopt_core::lm::{Attempts, LanguageModel as _, LmReply, LmRequest, around, lm_fn};
/// use promptopt_core::money::Usage;
/// # use futures_util::FutureExt as _;
///
/// let model = lm_fn("m", |_: LmRequest| async { Ok(LmReply::text("4", Usage::call(9, 1))) });
/// let logged = around(model, |next, request| async move {
///     let reply = next.complete(&request).await;
///     match &reply {
///         Ok(reply) => println!("{} messages, {} tokens", request.messages.len(), reply.usage.total_tokens()),
///         Err(error) => println!("{} messages: {error}", request.messages.len()),
///     }
///     reply
/// });
/// let reply = logged.complete(&LmRequest::default(), &Attempts::any()).now_or_never().unwrap()?;
/// assert_eq!((reply.first_text(), logged.profile().id.as_str()), ("4", "m"));
/// # Ok::<(), promptopt_core::lm::LmError>(())
/// ```
pub fn around<F, R>(model: impl LanguageModel + 'static, complete: F) -> Around<F>
where
    F: Fn(Next, LmRequest) -> R + Send + Sync,
    R: Future<Output = Result<LmReply, LmError>> + Send,
{
    Around { profile: model.profile(), model: Arc::new(model), complete }
}

impl<F> Around<F> {
    /// The same with another profile, such as one with another id where the closure changes the replies.
    #[must_use]
    pub fn with_profile(mut self, profile: ModelProfile) -> Self {
        self.profile = profile;
        self
    }
}

#[async_trait]
impl<F, R> LanguageModel for Around<F>
where
    F: Fn(Next, LmRequest) -> R + Send + Sync,
    R: Future<Output = Result<LmReply, LmError>> + Send,
{
    fn profile(&self) -> ModelProfile {
        self.profile.clone()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let next = Next { model: Arc::clone(&self.model), attempts: attempts.clone(), pieces: None };
        (self.complete)(next, request.clone()).await
    }

    async fn stream(
        &self,
        request: &LmRequest,
        attempts: &Attempts,
        tell: Tell<'_>,
    ) -> Result<LmReply, LmError> {
        let pieces = Arc::new(Mutex::new(Vec::new()));
        let (model, attempts) = (Arc::clone(&self.model), attempts.clone());
        let next = Next { model, attempts, pieces: Some(Arc::clone(&pieces)) };
        let mut asked = pin!((self.complete)(next, request.clone()));
        let mut told = String::new();
        let result = poll_fn(|task| {
            let polled = asked.as_mut().poll(task);
            for said in std::mem::take(&mut *pieces.lock().unwrap_or_else(PoisonError::into_inner)) {
                match said {
                    Said::Text(text) => {
                        tell(Piece::Text(&text));
                        told.push_str(&text);
                    }
                    Said::Restart if told.is_empty() => {}
                    Said::Restart => {
                        tell(Piece::Restart);
                        told.clear();
                    }
                }
            }
            polled
        });
        let reply = result.await?.read();
        // The closure may have changed the answer, or have one of its own.
        if told != reply.first_text() {
            if !told.is_empty() {
                tell(Piece::Restart);
            }
            if !reply.first_text().is_empty() {
                tell(Piece::Text(reply.first_text()));
            }
        }
        Ok(reply)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Next").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Around<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Around").field("profile", &self.profile).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt as _;

    use crate::money::{Price, Usage};

    use super::*;

    /// Asks before a second attempt, as a model with retries does.
    struct Retrying;

    #[async_trait]
    impl LanguageModel for Retrying {
        fn profile(&self) -> ModelProfile {
            ModelProfile::new("retrying")
                .with_price(Price::FREE)
                .with_max_tokens(17)
                .with_max_attempts_billed(2)
                .with_token_counter(|_| 4)
        }

        async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
            let text = format!("draw {}, again: {}", request.sample_index, attempts.another());
            Ok(LmReply::text(text, Usage::default()))
        }
    }

    #[test]
    fn profile_and_attempts_are_handed_on() {
        let shifted = around(Retrying, |next, mut request| async move {
            request.sample_index += 1;
            next.complete(&request).await
        });
        let profile = shifted.profile();
        assert_eq!(profile.id, "retrying");
        assert_eq!((profile.price, profile.max_tokens), (Some(Price::FREE), Some(17)));
        assert_eq!(profile.max_attempts_billed, 2);
        assert_eq!(profile.count_tokens(&LmRequest::default()), Some(4));

        let asked = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&asked);
        let none = Attempts::asking(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            false
        });
        let reply =
            |attempts| shifted.complete(&LmRequest::default(), attempts).now_or_never().unwrap().unwrap();
        assert_eq!(reply(&none).first_text(), "draw 1, again: false");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(reply(&Attempts::any()).first_text(), "draw 1, again: true");
    }

    /// Says its answer in two pieces.
    struct Slow;

    #[async_trait]
    impl LanguageModel for Slow {
        fn profile(&self) -> ModelProfile {
            ModelProfile::new("slow")
        }

        async fn complete(&self, _: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
            Ok(LmReply::text("four", Usage::call(1, 1)))
        }

        async fn stream(&self, _: &LmRequest, _: &Attempts, tell: Tell<'_>) -> Result<LmReply, LmError> {
            tell(Piece::Text("fo"));
            tell(Piece::Text("ur"));
            Ok(LmReply::text("four", Usage::call(1, 1)))
        }
    }

    #[test]
    fn streams_go_through_a_closure() {
        let told = |model: &dyn LanguageModel| {
            let mut told = Vec::new();
            let mut tell = |piece: Piece<'_>| {
                told.push(match piece {
                    Piece::Text(text) => text.to_owned(),
                    Piece::Restart => "<restart>".to_owned(),
                });
            };
            let (request, attempts) = (LmRequest::default(), Attempts::any());
            model.stream(&request, &attempts, &mut tell).now_or_never().unwrap().unwrap();
            told
        };
        let plain = around(Slow, |next, request| async move { next.complete(&request).await });
        assert_eq!(told(&plain), ["fo", "ur"]);
        let twice = around(Slow, |next, request| async move {
            next.complete(&request).await?;
            next.complete(&request).await
        });
        assert_eq!(told(&twice), ["fo", "ur", "<restart>", "fo", "ur"]);
        let changed = around(Slow, |next, request| async move {
            let usage = next.complete(&request).await?.usage;
            Ok(LmReply::text("4", usage))
        });
        assert_eq!(told(&changed), ["fo", "ur", "<restart>", "4"]);
        let own = around(Slow, |_, _| async move { Ok(LmReply::text("5", Usage::default())) });
        assert_eq!(told(&own), ["5"]);
    }
}
