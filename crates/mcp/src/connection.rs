//! A server that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use promptopt_process::ProcessGroup;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ClientRequest, Implementation,
    PaginatedRequestParams, PingRequest, Tool,
};
use rmcp::service::{RunningService, ServiceError};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{RoleClient, serve_client};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::watch::{MAX_MESSAGE, Watch, Watched};

/// The most tools that a server may list, and the most pages that they may be on.
const MAX_LISTED: usize = 1000;
/// How long a server may take for what it does at once: to say why it ends, and that it is there.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A process that answered `initialize`. It ends with this value.
pub(crate) struct Connection {
    service: RunningService<RoleClient, ClientConfig>,
    pub(crate) watch: Arc<Watch>,
    ended: AtomicBool,
    /// The task that takes in standard error.
    listening: JoinHandle<()>,
    _group: ProcessGroup,
}

/// Why a call gave no result.
pub(crate) enum NoResult {
    /// The process ended or is stuck, perhaps by another call.
    Ended,
    /// What there is to say of this call.
    Said(String),
}

impl Connection {
    /// Waits until a process has answered `initialize`. What went wrong is told in words that follow its name.
    pub(crate) async fn open(
        mut group: ProcessGroup,
        watch: Arc<Watch>,
        limit: Duration,
    ) -> Result<Self, String> {
        let child = group.leader();
        let (Some(stdin), Some(output), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("has no standard input and output".to_owned());
        };
        let listening = tokio::spawn(Arc::clone(&watch).listen(stderr));
        let output = Watched { output, watch: Arc::clone(&watch) };
        let transport = AsyncRwTransport::new_client(output, stdin).with_max_line_length(MAX_MESSAGE);
        let who = Implementation::new("promptopt", env!("CARGO_PKG_VERSION"));
        let client = ClientConfig::new(ClientCapabilities::default(), who);
        let error = match timeout(limit, serve_client(client, transport)).await {
            Ok(Ok(service)) => {
                return Ok(Self { service, watch, ended: AtomicBool::new(false), listening, _group: group });
            }
            Ok(Err(error)) => error,
            Err(_) => {
                return Err(format!(
                    "did not answer the request to initialize within {} s",
                    limit.as_secs_f64()
                ));
            }
        };
        // Why it ends stands on another pipe, perhaps a little later.
        let status = timeout(AT_ONCE, group.wait()).await;
        let _ = timeout(AT_ONCE, listening).await;
        Err(match status {
            Ok(Ok(status)) => format!("ended with {status} before it answered the request to initialize"),
            _ => format!("broke the protocol when asked to initialize: {error}"),
        })
    }

    /// All tools, of all pages.
    pub(crate) async fn list(&self) -> Result<Vec<Tool>, String> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..MAX_LISTED {
            let params = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.service.list_tools(Some(params)).await;
            let page = page.map_err(|error| format!("did not list its tools: {}", said(&error)))?;
            tools.extend(page.tools);
            cursor = page.next_cursor;
            if cursor.is_none() || tools.len() > MAX_LISTED {
                break;
            }
        }
        if cursor.is_some() || tools.len() > MAX_LISTED {
            return Err(format!("lists more than {MAX_LISTED} tools, or pages of tools without end"));
        }
        self.watch.answered();
        Ok(tools)
    }

    /// Waits for what a process that ended has said: it stands on another pipe, perhaps a little later.
    pub(crate) async fn heard(&mut self) {
        let _ = timeout(AT_ONCE, &mut self.listening).await;
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.ended.load(Ordering::Relaxed) && !self.service.is_closed()
    }

    /// Calls a tool.
    pub(crate) async fn call(
        &self,
        params: CallToolRequestParams,
        limit: Duration,
    ) -> Result<CallToolResult, NoResult> {
        let result = match timeout(limit, self.service.call_tool(params)).await {
            Ok(Err(ServiceError::TransportClosed | ServiceError::TransportSend(_))) => None,
            Ok(result) => Some(result.map_err(|error| NoResult::Said(said(&error)))),
            Err(_) if self.answers().await => {
                Some(Err(NoResult::Said(format!("no result within {} s", limit.as_secs_f64()))))
            }
            Err(_) => None,
        };
        match &result {
            Some(_) => self.watch.answered(),
            None => self.ended.store(true, Ordering::Relaxed),
        }
        result.unwrap_or(Err(NoResult::Ended))
    }

    /// Whether it answers at all. A server that does one thing at a time does not while it is stuck in a call.
    async fn answers(&self) -> bool {
        let ping = self.service.send_request(ClientRequest::PingRequest(PingRequest::default()));
        matches!(timeout(AT_ONCE, ping).await, Ok(Ok(_) | Err(ServiceError::McpError(_))))
    }
}

/// What an error says. What a server says of its own is not repeated with the words of the protocol around it.
fn said(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(error) => error.message.clone().into_owned(),
        ServiceError::TransportClosed => "it ended".to_owned(),
        ServiceError::UnexpectedResponse => "its answer is not what the protocol asks for".to_owned(),
        other => other.to_string(),
    }
}
