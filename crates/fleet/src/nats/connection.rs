//! A connection, and what every end needs of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use bytes::Bytes;
use promptopt_core::data::ContentHash;
use secrecy::ExposeSecret as _;
use tokio::sync::oneshot;

use super::options::{NatsCredentials, NatsOptions};
use super::parcel::Parcels;
use crate::Error;
use crate::protocol::{Identity, JobId, News};

/// Jobs that are with workers at once, of one program.
const MOST_LEASED: i64 = 20_000;
/// A consumer that nobody uses is forgotten after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Who holds a connection. The coordinator makes queue and store; the others, who may not, find them or wait for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Coordinator,
    Other,
}

/// A connection that lives on a thread of its own, so that a worker that computes still gives signs of life.
pub(super) struct Connection {
    pub(super) options: NatsOptions,
    pub(super) client: Client,
    pub(super) jetstream: Context,
    pub(super) parcels: Parcels,
    pub(super) identity: Identity,
    /// Of what coordinator and workers must have alike, and of the settings of the queue.
    key: String,
    heart: Heart,
}

/// The thread on which a connection lives.
struct Heart {
    runtime: tokio::runtime::Handle,
    /// Ends the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("fleet".to_owned()).spawn(move || {
            runtime.block_on(async {
                // It ends when its owner does.
                let _ = ended.await;
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        })?;
        Ok(Self { runtime: handle, end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        drop(self.end.take());
        // It cannot be waited for here: this may be a thread of a runtime, or the thread itself.
        drop(self.thread.take());
    }
}

impl Connection {
    pub(super) async fn open(options: NatsOptions, mut identity: Identity, end: End) -> Result<Self, Error> {
        options.check()?;
        // It is part of the queue's name, so one that differs would wait in silence.
        identity.parts.insert("lease".to_owned(), ContentHash::of(&options.lease));
        // A program may hold two libraries that encrypt, of which rustls chooses none by itself. What was chosen stays.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (url, token) = options.address();
        let mut connect = with_credentials(&options).await?;
        if let Some(token) = token {
            connect = connect.token(token);
        }
        let heart = Heart::start().map_err(|error| options.wrong(error.to_string()))?;
        let connected = heart.runtime.spawn(async move { connect.connect(url).await }).await;
        let client = connected
            .map_err(|error| options.wrong(error.to_string()))?
            .map_err(|error| options.wrong(reason(&error)))?;
        let jetstream = jetstream::new(client.clone());
        let hash = ContentHash::of(&(identity.hash(), MOST_LEASED, FORGOTTEN_AFTER));
        let key: String = hash.to_string().chars().take(16).collect();
        let parcels = Parcels::new(jetstream.clone(), &options.prefix, client.max_payload());
        let connection = Self { options, client, jetstream, parcels, identity, key, heart };
        match end {
            End::Coordinator => connection.make().await?,
            End::Other => drop(connection.stream().await?),
        }
        Ok(connection)
    }

    /// Where tasks go that must not starve.
    pub(super) fn heart(&self) -> &tokio::runtime::Handle {
        &self.heart.runtime
    }

    /// Tells all workers something.
    pub(super) async fn tell(&self, news: &News) {
        let news = Bytes::from(serde_json::to_vec(news).unwrap_or_default());
        // Nobody depends on hearing it.
        let _ = self.client.publish(self.subject("open"), news).await;
    }

    pub(super) fn subject(&self, words: &str) -> String {
        format!("{}.{words}", self.options.prefix)
    }

    pub(super) fn subject_of(&self, job: &JobId) -> String {
        self.subject(&format!("jobs.{}.{}.{}", self.key, job.run, job.number))
    }

    pub(super) fn subjects_of(&self, run: &str) -> String {
        self.subject(&format!("jobs.{}.{run}.>", self.key))
    }

    /// Makes the queue and the store of large messages where they are not there.
    pub(super) async fn make(&self) -> Result<(), Error> {
        let config = Config {
            name: self.stream_name(),
            subjects: vec![self.subject("jobs.>")],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::Memory,
            // A job that is there already is not put in again.
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            ..Config::default()
        };
        if self.stream().await?.is_none() {
            let made = self.jetstream.get_or_create_stream(config).await;
            made.map_err(|error| self.not_made("queue", &error))?;
        }
        let made = self.parcels.make().await;
        made.map_err(|error| self.not_made("store of large messages", &error))
    }

    fn not_made(&self, what: &str, error: &dyn std::fmt::Display) -> Error {
        self.options.wrong(format!(
            "the {what} cannot be made: {error}; check the limits of the account, and that this user may make it"
        ))
    }

    fn stream_name(&self) -> String {
        format!("{}_jobs", self.options.prefix)
    }

    /// The queue; `None` where no coordinator made it yet, or the server forgot it.
    pub(super) async fn stream(&self) -> Result<Option<Stream>, Error> {
        match self.jetstream.get_stream(self.stream_name()).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => Err(self.options.wrong(match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    return Ok(None);
                }
                GetStreamErrorKind::JetStream(error) => format!("JetStream gives no queue: {error}"),
                _ => "JetStream gave no answer: start it with `nats-server -js`, switch it on for the account, and check that this \
                      user may use `$JS.API.>`"
                    .to_owned(),
            })),
        }
    }

    /// The consumer that all workers of this program share.
    pub(super) async fn consumer(&self) -> Result<PullConsumer, Error> {
        let Some(stream) = self.stream().await? else {
            return Err(self.options.wrong("there is no queue yet: a coordinator makes it"));
        };
        let name = format!("workers_{}", self.key);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: self.subject(&format!("jobs.{}.>", self.key)),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.options.lease,
            max_ack_pending: MOST_LEASED,
            inactive_threshold: FORGOTTEN_AFTER,
            memory_storage: true,
            ..pull::Config::default()
        };
        stream
            .get_or_create_consumer(&name, config)
            .await
            .map_err(|error| self.options.wrong(format!("the queue cannot be read: {error}")))
    }
}

/// The options of the client.
async fn with_credentials(options: &NatsOptions) -> Result<ConnectOptions, Error> {
    let connect = ConnectOptions::new().name("promptopt").request_timeout(Some(Duration::from_secs(10)));
    let (server, is_away) = (options.shown(), Arc::new(AtomicBool::new(false)));
    let mut connect = connect.event_callback(move |event| {
        match event {
            Event::Disconnected if !is_away.swap(true, Ordering::Relaxed) => {
                tracing::warn!("the connection to {server} is lost; it is tried again until it is back");
            }
            Event::Connected if is_away.swap(false, Ordering::Relaxed) => {
                tracing::warn!("the connection to {server} is back");
            }
            _ => {}
        }
        std::future::ready(())
    });
    connect = match &options.credentials {
        None => connect,
        Some(NatsCredentials::File(path)) => connect.credentials_file(path).await.map_err(|error| {
            options.wrong(format!("the credentials file {} cannot be read: {error}", path.display()))
        })?,
        Some(NatsCredentials::NKey(seed)) => connect.nkey(seed.expose_secret().to_owned()),
        Some(NatsCredentials::Token(token)) => connect.token(token.expose_secret().to_owned()),
        Some(NatsCredentials::User(user, password)) => {
            connect.user_and_password(user.clone(), password.expose_secret().to_owned())
        }
    };
    if let Some(file) = &options.root_certificates {
        connect = connect.add_root_certificates(file.clone());
    }
    if let Some((certificate, key)) = &options.client_certificate {
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(connect)
}

fn reason(error: &async_nats::ConnectError) -> String {
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            "it refuses the credentials: check who may use it, and what is given".to_owned()
        }
        ConnectErrorKind::ServerParse => "this is no address of one: write it as nats://HOST:4222".to_owned(),
        // What is wrong with a certificate comes as an error of reading.
        kind if kind == ConnectErrorKind::Tls || error.to_string().contains("certificate") => format!(
            "no encrypted connection: {error}; `root_certificates` names who is trusted, and `client_certificate` what this side shows"
        ),
        _ => format!("{error}; start one with `nats-server -js`, or correct the address"),
    }
}

/// What tasks of a connection share.
pub(super) type Shared = Arc<Connection>;
