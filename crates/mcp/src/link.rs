//! The way to a server, which is started anew where it died.

use std::sync::Arc;
use std::time::Duration;

use promptopt_core::data::shorten;
use promptopt_core::program::Unavailable;
use promptopt_core::secret::{Redactor, is_secret_name};
use promptopt_process::CommandLine;
use rmcp::model::{CallToolRequestParams, CallToolResult, Tool};
use secrecy::SecretString;
use tokio::sync::RwLock;
use tokio::time::timeout;

use crate::connection::{Connection, NoResult};
use crate::error::Error;
use crate::watch::Watch;

/// How much of a command is said, in characters.
const MAX_COMMAND: usize = 200;
/// How much of what a server says of an error is told, in characters.
const MAX_SAID: usize = 2000;

/// A server and its process. Calls share the process; one that found it dead has the new one to itself.
pub(crate) struct Link {
    pub(crate) server: String,
    command: CommandLine,
    limit: Duration,
    clean: Redactor,
    connection: RwLock<Option<Connection>>,
}

impl Link {
    pub(crate) fn new(server: String, command: CommandLine, limit: Duration) -> Self {
        let handed_on = command.handed_on().iter().filter(|name| is_secret_name(name));
        let secrets = handed_on.filter_map(|name| std::env::var(name).ok()).map(SecretString::from);
        let clean = Redactor::new(secrets).strict();
        Self { server, command, limit, clean, connection: RwLock::default() }
    }

    /// Starts the server, and lists its tools.
    pub(crate) async fn start(&self) -> Result<Vec<Tool>, Error> {
        let mut connection = self.connection.write().await;
        let mut fresh = self.open().await?;
        let listed = match timeout(self.limit, fresh.list()).await {
            Ok(listed) => listed,
            Err(_) => Err(format!("did not list its tools within {} s", self.limit.as_secs_f64())),
        };
        let tools = match listed {
            Ok(tools) => tools,
            Err(reason) => {
                fresh.heard().await;
                return Err(self.failed(&reason, &fresh.watch));
            }
        };
        *connection = Some(fresh);
        Ok(tools)
    }

    async fn open(&self) -> Result<Connection, Error> {
        let group = self.command.start().map_err(|source| Error::Start {
            server: self.server.clone(),
            command: self.command(),
            source,
        })?;
        let watch = Arc::<Watch>::default();
        let opened = Connection::open(group, Arc::clone(&watch), self.limit).await;
        opened.map_err(|reason| self.failed(&reason, &watch))
    }

    /// Calls a tool. Where the server dies or is stuck, the call is made again, alone with it, and what counts is what a new
    /// process does. So a call that brings a server down takes no other one along, however many are under way.
    pub(crate) async fn call(&self, params: CallToolRequestParams) -> anyhow::Result<CallToolResult> {
        if let Some(connection) = self.connection.read().await.as_ref().filter(|one| one.is_alive()) {
            match connection.call(params.clone(), self.limit).await {
                Ok(result) => return Ok(result),
                Err(NoResult::Said(why)) => return Err(self.told(&why)),
                Err(NoResult::Ended) => {}
            }
        }
        let mut place = self.connection.write().await;
        loop {
            let alive = place.take().filter(Connection::is_alive);
            let is_new = alive.is_none();
            let connection = place.insert(match alive {
                Some(alive) => alive,
                // It cannot be started any more, whatever is asked of it.
                None => self
                    .open()
                    .await
                    .map_err(|error| Unavailable::new(format!("{:#}", anyhow::Error::from(error))))?,
            });
            match connection.call(params.clone(), self.limit).await {
                Ok(result) => return Ok(result),
                Err(NoResult::Said(why)) => return Err(self.told(&why)),
                // What ended that one may be a call before.
                Err(NoResult::Ended) if !is_new => {}
                Err(NoResult::Ended) => {
                    let within = self.limit.as_secs_f64();
                    connection.heard().await;
                    let said = connection.watch.said(&self.clean);
                    return Err(self.told(&format!(
                        "it ended in this call, or answered nothing within {within} s{said}"
                    )));
                }
            }
        }
    }

    /// What the model is told of a call: nothing of where the server is.
    fn told(&self, why: &str) -> anyhow::Error {
        anyhow::anyhow!("the MCP server `{}`: {}", self.server, shorten(&self.clean.redact(why), MAX_SAID))
    }

    fn failed(&self, reason: &str, watch: &Watch) -> Error {
        let reason = shorten(&self.clean.redact(reason), MAX_SAID);
        let reason = format!("{reason}{}", watch.said(&self.clean));
        Error::Failed { server: self.server.clone(), command: self.command(), reason }
    }

    pub(crate) fn command(&self) -> String {
        shorten(&self.clean.redact(&self.command.to_string()), MAX_COMMAND)
    }
}
