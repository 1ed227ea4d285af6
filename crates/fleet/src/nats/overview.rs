//! Who is there, and how much waits.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::connection::{Connection, End, Shared};
use super::options::NatsOptions;
use crate::Error;
use crate::member::{Describe, Member};
use crate::protocol::Identity;

/// How long members are waited for.
const ANSWERS: Duration = Duration::from_millis(800);

/// A fleet as it is seen from outside.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Overview {
    /// Rollouts that are with workers or wait for one.
    pub queued: u64,
    /// Workers and runs, by their names.
    pub members: Vec<Member>,
}

/// Asks all members who they are.
///
/// # Errors
///
/// Where the server cannot be used.
pub async fn overview(options: NatsOptions) -> Result<Overview, Error> {
    let connection = Connection::open(options, Identity::new([]), End::Other).await?;
    let members = members(&connection).await?;
    let queued = connection.stream().await?.map_or(0, |stream| stream.cached_info().state.messages);
    Ok(Overview { queued, members })
}

/// Those who answer, by their names.
pub(super) async fn members(connection: &Connection) -> Result<Vec<Member>, Error> {
    let wrong = |error: String| connection.options.wrong(error);
    let inbox = connection.client.new_inbox();
    let mut answers =
        connection.client.subscribe(inbox.clone()).await.map_err(|error| wrong(error.to_string()))?;
    let asked = connection.client.publish_with_reply(connection.subject("who"), inbox, Bytes::new()).await;
    asked.map_err(|error| wrong(error.to_string()))?;
    let until = tokio::time::Instant::now() + ANSWERS;
    let mut members = Vec::new();
    while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await {
        if answer.status.is_some() {
            break;
        }
        members.extend(serde_json::from_slice::<Member>(&answer.payload).ok());
    }
    members.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(members)
}

/// Answers whoever asks who is there.
pub(super) async fn describe(shared: &Shared, role: &Describe) {
    let Ok(mut questions) = shared.client.subscribe(shared.subject("who")).await else { return };
    while let Some(question) = questions.next().await {
        let Some(role) = role() else { return };
        let member = Member::new(&shared.identity, role);
        let answer = Bytes::from(serde_json::to_vec(&member).unwrap_or_default());
        if let Some(reply) = question.reply {
            // Whoever asks waits for a moment only.
            let _ = shared.client.publish(reply, answer).await;
        }
    }
}
