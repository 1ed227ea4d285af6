//! The coordinator's end of a connection.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::{Request, RequestErrorKind, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use promptopt_core::data::ContentHash;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::connection::{Connection, End, Shared};
use super::options::NatsOptions;
use super::overview::{describe, members};
use crate::Error;
use crate::member::{Describe, Member, Role};
use crate::protocol::{Ask, Identity, JobId, News};
use crate::transport::{Coordinating, Question, Reply};

/// How long the coordinator of another run is waited for.
const ANSWER: Duration = Duration::from_secs(5);

/// The coordinator's end: it puts jobs into the queue, and answers workers.
pub struct NatsCoordinator {
    shared: Shared,
    run: String,
    questions: Mutex<Subscriber>,
    greeting: JoinHandle<()>,
    described: OnceLock<JoinHandle<()>>,
}

impl NatsCoordinator {
    /// Connects, and begins to hear the workers of a run.
    ///
    /// # Errors
    ///
    /// Where the server cannot be used.
    pub async fn connect(options: NatsOptions, identity: Identity, run: String) -> Result<Self, Error> {
        let connection = Connection::open(options, identity, End::Coordinator).await?;
        let subscribe = async |subject: String| {
            let subscribed = connection.client.subscribe(subject).await;
            subscribed.map_err(|error| connection.options.wrong(error.to_string()))
        };
        let questions = subscribe(connection.subject(&format!("ask.{run}"))).await?;
        let mut greetings = subscribe(connection.subject("hello")).await?;
        let shared = Arc::new(connection);
        let own = Arc::clone(&shared);
        let greeting = shared.heart().spawn(async move {
            let identity = Bytes::from(serde_json::to_vec(&own.identity).unwrap_or_default());
            // To workers that are there already.
            own.tell(&News::Open { identity: own.identity.clone() }).await;
            if let Err(error) = sweep(&own).await {
                tracing::debug!("what runs left that are gone could not be taken out: {error}");
            }
            while let Some(greeting) = greetings.next().await {
                if let Some(reply) = greeting.reply {
                    // A worker that is not told asks again.
                    let _ = own.client.publish(reply, identity.clone()).await;
                }
            }
        });
        Ok(Self { shared, run, questions: Mutex::new(questions), greeting, described: OnceLock::new() })
    }
}

impl Drop for NatsCoordinator {
    fn drop(&mut self) {
        self.greeting.abort();
        self.described.get().inspect(|task| task.abort());
    }
}

/// Takes out what runs left that are gone, such as the earlier life of one that is resumed. Workers would wait for their
/// coordinators.
async fn sweep(shared: &Shared) -> Result<(), Error> {
    let wrong = |error: String| shared.options.wrong(error);
    let Some(stream) = shared.stream().await? else { return Ok(()) };
    let jobs = shared.subject("jobs.");
    let subjects = stream.info_with_subjects(format!("{jobs}>")).await;
    let mut subjects = subjects.map_err(|error| wrong(error.to_string()))?;
    let mut runs = BTreeSet::new();
    while let Some(subject) = subjects.next().await {
        let (subject, _) = subject.map_err(|error| wrong(error.to_string()))?;
        let run = subject.strip_prefix(&jobs).and_then(|rest| rest.split('.').nth(1));
        runs.extend(run.map(str::to_owned));
    }
    let nothing = Ask::Material { hash: ContentHash::of("") };
    let nothing = serde_json::to_vec(&nothing).map_err(|error| wrong(error.to_string()))?;
    for run in runs {
        let request = Request::new().payload(shared.parcels.pack(&nothing).await?).timeout(Some(ANSWER));
        let asked = shared.client.send_request(shared.subject(&format!("ask.{run}")), request).await;
        if asked.is_err_and(|error| error.kind() == RequestErrorKind::NoResponders) {
            let purged = stream.purge().filter(format!("{jobs}*.{run}.>")).await;
            purged.map_err(|error| wrong(error.to_string()))?;
        }
    }
    Ok(())
}

struct Way {
    shared: Shared,
    subject: Option<async_nats::Subject>,
}

#[async_trait]
impl Reply for Way {
    async fn send(self: Box<Self>, answer: Bytes) {
        let Some(subject) = self.subject else { return };
        match self.shared.parcels.pack(&answer).await {
            Ok(parcel) => {
                if let Err(error) = self.shared.client.publish(subject, parcel).await {
                    tracing::debug!("an answer could not be sent, and is asked for again: {error}");
                }
            }
            Err(error) => tracing::warn!("an answer could not be packed: {error}"),
        }
    }
}

#[async_trait]
impl Coordinating for NatsCoordinator {
    async fn offer(&self, job: &JobId, payload: Bytes) -> Result<bool, Error> {
        let shared = &self.shared;
        let publish = async || {
            let parcel = shared.parcels.pack(&payload).await?;
            let sent = shared.jetstream.publish(shared.subject_of(job), parcel).await;
            let sent = match sent {
                Ok(sent) => sent.await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(_) => Ok(true),
                // It is still there.
                Err(error) if error.to_string().contains("per subject exceeded") => Ok(false),
                Err(error) if error.kind() == PublishErrorKind::Other => Err(shared
                    .options
                    .wrong(format!("the queue takes no rollout: {error}; check the limits of the account"))),
                Err(error) => Err(shared.options.wrong(error.to_string())),
            }
        };
        if let Ok(is_new) = publish().await {
            return Ok(is_new);
        }
        // The server may have forgotten the queue.
        shared.make().await?;
        publish().await
    }

    async fn withdraw(&self, job: &JobId) {
        self.purge(self.shared.subject_of(job)).await;
    }

    async fn clear(&self) {
        self.purge(self.shared.subjects_of(&self.run)).await;
    }

    async fn next(&self) -> Option<Question> {
        let message = self.questions.lock().await.next().await?;
        let shared = Arc::clone(&self.shared);
        let way = Way { shared: Arc::clone(&shared), subject: message.reply };
        // A large one has to be fetched, for which others do not wait.
        let payload = async move {
            let unpacked = shared.parcels.unpack(&message.payload).await;
            unpacked
                .inspect_err(|error| tracing::warn!("a question of a worker cannot be read: {error}"))
                .ok()
        };
        Some(Question::new(payload, Box::new(way)))
    }

    fn describe(&self, role: Describe) {
        let shared = Arc::clone(&self.shared);
        self.described
            .get_or_init(|| self.shared.heart().spawn(async move { describe(&shared, &role).await }));
    }

    async fn workers(&self) -> Option<(Vec<Member>, usize)> {
        if self.shared.client.connection_state() != State::Connected {
            return None;
        }
        let members = members(&self.shared).await.ok()?;
        let own = self.shared.identity.hash();
        let workers = members.into_iter().filter(|member| matches!(member.role, Role::Worker { .. }));
        let (ours, others): (Vec<Member>, Vec<Member>) = workers.partition(|member| member.identity == own);
        Some((ours, others.len()))
    }

    async fn say_over(&self) {
        self.shared.tell(&News::Over { run: self.run.clone() }).await;
        // It would go with the connection.
        let _ = self.shared.client.flush().await;
    }

    fn lease(&self) -> Duration {
        self.shared.options.lease
    }
}

impl NatsCoordinator {
    /// Bytes that came in and went out so far, of everything.
    pub fn traffic(&self) -> (u64, u64) {
        let statistics = self.shared.client.statistics();
        (statistics.in_bytes.load(Ordering::Relaxed), statistics.out_bytes.load(Ordering::Relaxed))
    }

    async fn purge(&self, subject: String) {
        let Ok(Some(stream)) = self.shared.stream().await else { return };
        if let Err(error) = stream.purge().filter(subject).await {
            tracing::debug!("what is left in the queue could not be taken out: {error}");
        }
    }
}
