//! A worker's end of a connection.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::{Request, RequestErrorKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::connection::{Connection, End, Shared};
use super::options::NatsOptions;
use super::overview::describe;
use crate::Error;
use crate::member::Describe;
use crate::protocol::{Identity, News};
use crate::transport::{Lease, Leased, Working};

/// How long the server holds a request for a job. Then it is made anew, so that one that was lost does not stall a worker.
const EXPIRES: Duration = Duration::from_secs(5);
/// How long an answer is waited for before it is asked for again.
const ANSWER: Duration = Duration::from_secs(20);
/// How long coordinators are waited for when a worker begins.
const GREETING: Duration = Duration::from_millis(700);
/// Between two attempts to reach a queue that is away.
const PAUSE: Duration = Duration::from_millis(500);

/// The latest runs that are over.
type Over = Arc<std::sync::Mutex<VecDeque<String>>>;
/// So many of them are remembered.
const REMEMBERED: usize = 64;

/// A worker's end: it takes jobs out of the queue, and asks their coordinators.
pub struct NatsWorker {
    shared: Shared,
    consumer: Mutex<Option<PullConsumer>>,
    over: Over,
    news: JoinHandle<()>,
    described: OnceLock<JoinHandle<()>>,
}

impl NatsWorker {
    /// Connects, and checks that no coordinator differs.
    ///
    /// # Errors
    ///
    /// Where the server cannot be used, and [`Error::Differs`] where coordinators are there and all of them have another task.
    pub async fn connect(options: NatsOptions, identity: Identity) -> Result<Self, Error> {
        let shared = Arc::new(Connection::open(options, identity, End::Other).await?);
        greet(&shared).await?;
        let over = Over::default();
        let (own, told) = (Arc::clone(&shared), Arc::clone(&over));
        let news = shared.heart().spawn(async move { hear_of_runs(&own, &told).await });
        Ok(Self { shared, consumer: Mutex::default(), over, news, described: OnceLock::new() })
    }

    /// The consumer, known or looked up.
    async fn consumer(&self) -> Result<PullConsumer, Error> {
        let mut known = self.consumer.lock().await;
        if let Some(consumer) = &*known {
            return Ok(consumer.clone());
        }
        let consumer = self.shared.consumer().await?;
        *known = Some(consumer.clone());
        Ok(consumer)
    }

    /// One job, if there is one.
    async fn fetch(&self) -> Result<Option<async_nats::jetstream::Message>, Error> {
        let consumer = self.consumer().await?;
        let wrong = |error: String| self.shared.options.wrong(error);
        let batch = consumer.fetch().max_messages(1).expires(EXPIRES);
        let fetched = async {
            let mut batch = batch.messages().await.map_err(|error| wrong(error.to_string()))?;
            batch.next().await.transpose().map_err(|error| wrong(error.to_string()))
        };
        // The server answers in time, or the request was lost.
        match tokio::time::timeout(EXPIRES + Duration::from_secs(3), fetched).await {
            Ok(fetched) => fetched,
            Err(_) => Err(wrong("it gave no answer".to_owned())),
        }
    }
}

impl Drop for NatsWorker {
    fn drop(&mut self) {
        self.news.abort();
        self.described.get().inspect(|task| task.abort());
    }
}

/// Asks coordinators that are there what they run.
async fn greet(shared: &Shared) -> Result<(), Error> {
    let wrong = |error: String| shared.options.wrong(error);
    let inbox = shared.client.new_inbox();
    let mut answers =
        shared.client.subscribe(inbox.clone()).await.map_err(|error| wrong(error.to_string()))?;
    let hello = shared.client.publish_with_reply(shared.subject("hello"), inbox, Bytes::new()).await;
    hello.map_err(|error| wrong(error.to_string()))?;
    let mut difference = None;
    let until = tokio::time::Instant::now() + GREETING;
    while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await {
        if answer.status.is_some() {
            // Nobody is there yet.
            break;
        }
        match serde_json::from_slice::<Identity>(&answer.payload) {
            Ok(theirs) => match shared.identity.difference(&theirs) {
                None => return Ok(()),
                Some(other) => difference = Some(other),
            },
            Err(_) => difference = Some("another version of promptopt".to_owned()),
        }
    }
    difference.map_or(Ok(()), |difference| Err(Error::Differs { difference }))
}

/// Hears which runs are over, and says of those that begin and are of no use to this worker why that is so.
async fn hear_of_runs(shared: &Shared, over: &Over) {
    let Ok(mut news) = shared.client.subscribe(shared.subject("open")).await else { return };
    while let Some(message) = news.next().await {
        let difference = match serde_json::from_slice::<News>(&message.payload) {
            Ok(News::Open { identity }) => shared.identity.difference(&identity),
            Ok(News::Over { run }) => {
                let mut over = over.lock().unwrap_or_else(PoisonError::into_inner);
                over.push_back(run);
                if over.len() > REMEMBERED {
                    over.pop_front();
                }
                None
            }
            Err(_) => Some("another version of promptopt".to_owned()),
        };
        if let Some(difference) = difference {
            tracing::warn!(
                "a run began that this worker takes no part in, because the two differ: {difference}"
            );
        }
    }
}

struct Held {
    shared: Shared,
    message: Option<Arc<async_nats::jetstream::Message>>,
    beating: JoinHandle<()>,
}

#[async_trait]
impl Lease for Held {
    async fn finish(mut self: Box<Self>) {
        let Some(message) = self.message.take() else { return };
        // An acknowledgement that is lost would bring the job back.
        for _ in 0..3 {
            if message.double_ack().await.is_ok() {
                break;
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beating.abort();
        if let Some(message) = self.message.take() {
            // What is not finished is for another worker.
            self.shared.heart().spawn(async move {
                let _ = message.ack_with(AckKind::Nak(None)).await;
            });
        }
    }
}

#[async_trait]
impl Working for NatsWorker {
    async fn take(&self) -> Result<Leased, Error> {
        loop {
            let message = match self.fetch().await {
                Ok(Some(message)) => Arc::new(message),
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!("the queue gives nothing, which is tried again: {error}");
                    *self.consumer.lock().await = None;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let deliveries = message.info().map_or(1, |info| info.delivered.unsigned_abs());
            let payload = match self.shared.parcels.unpack(&message.payload).await {
                Ok(payload) => payload,
                Err(error) => {
                    tracing::warn!("a job of the queue cannot be read and is thrown away: {error}");
                    let _ = message.ack_with(AckKind::Term).await;
                    continue;
                }
            };
            let (beat, every) = (Arc::clone(&message), self.shared.options.lease / 3);
            let beating = self.shared.heart().spawn(async move {
                loop {
                    tokio::time::sleep(every).await;
                    // One that is lost is followed by another.
                    let _ = beat.ack_with(AckKind::Progress).await;
                }
            });
            let held = Held { shared: Arc::clone(&self.shared), message: Some(message), beating };
            return Ok(Leased::new(payload, deliveries, Box::new(held)));
        }
    }

    async fn ask(&self, run: &str, payload: Bytes) -> Result<Bytes, Error> {
        let parcel = self.shared.parcels.pack(&payload).await?;
        let request = Request::new().payload(parcel).timeout(Some(ANSWER));
        let subject = self.shared.subject(&format!("ask.{run}"));
        match self.shared.client.send_request(subject, request).await {
            Ok(answer) => self.shared.parcels.unpack(&answer.payload).await,
            Err(error) if error.kind() == RequestErrorKind::TimedOut => Err(Error::NoAnswer),
            Err(_) => Err(Error::NoCoordinator),
        }
    }

    fn is_over(&self, run: &str) -> bool {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|over| over == run)
    }

    fn describe(&self, role: Describe) {
        let shared = Arc::clone(&self.shared);
        self.described
            .get_or_init(|| self.shared.heart().spawn(async move { describe(&shared, &role).await }));
    }
}
