//! How one request is answered: well, or in one of the bad ways.

use std::time::{Duration, SystemTime};

use httpdate::fmt_http_date;
use promptopt_core::lm::{Attempts, LmRequest};
use serde_json::{Value, json};

use super::connection::{Connection, Response};
use super::plan::Fault;
use super::shared::{Answer, Shared, Visit};
use crate::openai;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const OK: &str = "200 OK";
const TOO_MANY: &str = "429 Too Many Requests";

/// Where a body without end does end, for the sake of the machine that runs the test.
const MOST_ENDLESS: usize = 64 * 1024 * 1024;
/// How much of it is written at once, and the pause after each, so that a client that stops reading is seen to.
const PIECE: usize = 32 * 1024;
const BETWEEN_PIECES: Duration = Duration::from_millis(1);

/// Answers one request; says whether the connection can take another one.
pub(super) async fn answer(
    shared: &Shared,
    connection: &mut Connection,
    visit: &Visit,
    (asked, request): (&Value, Option<LmRequest>),
) -> bool {
    let refused = match visit.answer {
        Answer::TooManyAtOnce => Some(refusal(TOO_MANY, "Too many requests at once.")),
        Answer::TooFast => {
            let seconds = whole_seconds(visit.wait);
            visit.ask(visit.now + Duration::from_secs(seconds));
            Some(refusal(TOO_MANY, "Too many requests in this window.").header("retry-after", seconds))
        }
        Answer::Fault(Fault::InternalError) => Some(refusal("500 Internal Server Error", "It broke.")),
        Answer::Fault(Fault::Unavailable) if visit.variant.is_multiple_of(2) => {
            let beginning = openai::error("Overloaded.").to_string();
            let response = Response::unending("503 Service Unavailable", JSON, beginning);
            return run_on(connection, visit, response).await;
        }
        Answer::Fault(Fault::Unavailable) => Some(refusal("503 Service Unavailable", "Overloaded.")),
        Answer::Fault(fault) if Fault::ASKING.contains(&fault) => {
            Some(please_wait(fault, visit, shared.plan.asked_wait))
        }
        _ => None,
    };
    if let Some(response) = refused {
        return send(connection, visit, &response.bytes().0).await;
    }
    let Some(request) = request else {
        let response = refusal("400 Bad Request", "`messages` must be a list of role and content.");
        return send(connection, visit, &response.bytes().0).await;
    };
    tokio::time::sleep(shared.plan.latency).await;
    let (kind, body) = match shared.model.complete(&request, &Attempts::any()).await {
        Ok(reply) => {
            visit.bill(reply.usage);
            match openai::wants_stream(asked) {
                true => (EVENTS, openai::events(asked, &reply).concat()),
                false => (JSON, openai::reply(&reply).to_string()),
            }
        }
        Err(error) => {
            let response = refusal("500 Internal Server Error", &error.to_string());
            return send(connection, visit, &response.bytes().0).await;
        }
    };
    match visit.answer {
        Answer::Fault(fault) => spoil(fault, shared.plan.stall, connection, visit, (kind, body)).await,
        _ => send(connection, visit, &Response::new(OK, kind, body).bytes().0).await,
    }
}

/// A 429 that asks for a wait in the dialect of `fault`.
fn please_wait(fault: Fault, visit: &Visit, wait: Duration) -> Response {
    let response = refusal(TOO_MANY, "Slow down.");
    let (until, response) = match fault {
        Fault::RetryAfterSeconds => {
            let seconds = whole_seconds(wait);
            (visit.now + Duration::from_secs(seconds), response.header("retry-after", seconds))
        }
        Fault::RetryAfterDate => {
            let until = next_second(visit.now + wait);
            let response = response.header("retry-after", fmt_http_date(until));
            let with_date = visit.variant.is_multiple_of(2);
            (until, if with_date { response.header("date", fmt_http_date(visit.now)) } else { response })
        }
        Fault::RetryDelay => {
            let body = json!([{"error": {
                "code": 429,
                "message": "Resource has been exhausted.",
                "status": "RESOURCE_EXHAUSTED",
                "details": [{
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{}s", wait.as_secs_f64()),
                }],
            }}]);
            (visit.now + wait, Response::new(TOO_MANY, JSON, body.to_string()))
        }
        _ => (visit.now + wait, response.header("retry-after-ms", wait.as_millis())),
    };
    visit.ask(until);
    response
}

/// Sends what `fault` makes of a good reply.
async fn spoil(
    fault: Fault,
    stall: Duration,
    connection: &mut Connection,
    visit: &Visit,
    (kind, body): (&str, String),
) -> bool {
    let half = body.as_bytes().get(..body.len() / 2).unwrap_or_default().to_vec();
    match fault {
        Fault::TruncatedJson => send(connection, visit, &Response::new(OK, kind, half).bytes().0).await,
        Fault::WebPage => {
            let page = "<!doctype html><html><head><title>Sign in to the network</title></head></html>";
            send(connection, visit, &Response::new(OK, "text/html", page).bytes().0).await
        }
        Fault::EndlessBody => run_on(connection, visit, Response::unending(OK, kind, half)).await,
        _ => {
            let (bytes, head) = Response::new(OK, kind, body).bytes();
            let first = match (fault, visit.variant % 4) {
                (Fault::SlowFirstByte, _) | (Fault::Cut, 0 | 1) => 0,
                (Fault::Cut, 2) => head / 2,
                _ => head + (bytes.len() - head) / 2,
            };
            let (before, after) = bytes.split_at(first);
            if fault == Fault::Cut {
                send(connection, visit, before).await;
                if visit.variant.is_multiple_of(4) {
                    // It ends in any case; only how differs.
                    let _ = connection.reset();
                }
                return false;
            }
            send(connection, visit, before).await
                && connection.pause(stall).await
                && send(connection, visit, after).await
        }
    }
}

/// Sends `response`, and then spaces until the client hangs up.
async fn run_on(connection: &mut Connection, visit: &Visit, response: Response) -> bool {
    let spaces = [b' '; PIECE];
    let (beginning, _) = response.bytes();
    let mut goes_on = send(connection, visit, &beginning).await;
    let mut sent = 0;
    while goes_on && sent < MOST_ENDLESS {
        goes_on = send(connection, visit, &spaces).await && connection.pause(BETWEEN_PIECES).await;
        sent += PIECE;
    }
    false
}

/// Writes some bytes; says whether the client is still there.
async fn send(connection: &mut Connection, visit: &Visit, bytes: &[u8]) -> bool {
    let result = connection.write(bytes).await;
    visit.wrote(result.err().unwrap_or(bytes.len()));
    result.is_ok()
}

fn refusal(status: &str, message: &str) -> Response {
    let body: Value = openai::error(message);
    Response::new(status, JSON, body.to_string())
}

/// The wait in whole seconds, rounded up.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The first whole second that is not before `time`.
fn next_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(whole_seconds(since))
}
