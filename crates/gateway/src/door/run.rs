//! A process for each rollout.

use std::collections::BTreeMap;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use promptopt_core::data::plain_text;
use promptopt_process::{CommandLine, Complaint};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::{Question, started};
use crate::answer::Answer;
use crate::{Error, answer};

/// The most that a program may write to standard output, in bytes.
const MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;

/// How long the streams of a program are read once it has ended.
const AFTER_END: Duration = Duration::from_secs(1);

/// A command that is started for each rollout. It gets the inputs as a JSON object on standard input, and writes its answer,
/// text or JSON, to standard output. One that is killed is asked
/// once more: what it asked already is answered with the same replies.
#[derive(Debug, Clone)]
pub struct Run {
    command: CommandLine,
    timeout: Duration,
    variables: BTreeMap<String, String>,
}

impl Run {
    /// A command. `{name}` in an argument stands for the input of that name.
    pub fn new(command: CommandLine) -> Self {
        Self { command, timeout: Duration::from_secs(120), variables: BTreeMap::new() }
    }

    /// With the longest time that one rollout may take. Default: 120 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With environment variables that hold inputs: variable -> input.
    #[must_use]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, Error> {
        match self.ask_once(question).await {
            // It did not do that itself: somebody ended it, or the system did for want of memory.
            Err(Error::Failed { is_killed: true, .. }) => {
                question.session.ask_again();
                self.ask_once(question).await
            }
            result => result,
        }
    }

    async fn ask_once(&self, question: &Question<'_>) -> Result<Answer, Error> {
        let Question { session, inputs, signature, .. } = question;
        let text = |name: &str| inputs.get(name).map(plain_text);
        let own =
            self.variables.iter().map(|(variable, name)| (variable.clone(), text(name).unwrap_or_default()));
        let given = session.variables().map(|(name, value)| (name.to_owned(), value));
        let command = self.command.clone().filling(text).with_variables(given.into_iter().chain(own));
        let mut group = started(&command)?;
        let (stdin, stdout, stderr) =
            (group.leader().stdin.take(), group.leader().stdout.take(), group.leader().stderr.take());
        let (complaint, heard) = (Mutex::default(), Mutex::default());
        let work = async {
            let asked = Value::Object((*inputs).clone()).to_string();
            let tell = async {
                if let Some(mut stdin) = stdin {
                    // A program that reads nothing closes its end.
                    let _ = stdin.write_all(asked.as_bytes()).await;
                }
                Ok(())
            };
            let hear = async {
                match stdout {
                    Some(stdout) => read(stdout, &heard).await,
                    None => Ok(()),
                }
            };
            let listen = async {
                if let Some(stderr) = stderr {
                    Complaint::follow(stderr, &complaint).await;
                }
                Ok(())
            };
            let mut streams = pin!(async { tokio::try_join!(tell, hear, listen) });
            let ended = tokio::select! {
                biased;
                told = &mut streams => {
                    told?;
                    None
                }
                status = group.wait() => Some(status?),
            };
            match ended {
                None => group.wait().await.map_err(Error::from),
                Some(status) => {
                    // Whoever left the group may hold its pipes for ever; what it writes from now on is no answer.
                    if let Ok(told) = tokio::time::timeout(AFTER_END, streams).await {
                        told?;
                    }
                    Ok(status)
                }
            }
        };
        match tokio::time::timeout(self.timeout, work).await {
            Err(_) => Err(Error::Timeout { after: self.timeout, complaint: question.complaint(&complaint) }),
            Ok(Err(error)) => Err(error),
            Ok(Ok(status)) if !status.success() => Err(Error::Failed {
                status: status.to_string(),
                is_killed: is_killed(status),
                complaint: question.complaint(&complaint),
            }),
            Ok(Ok(_)) => {
                let heard = heard.into_inner().unwrap_or_else(PoisonError::into_inner);
                question.heard(answer::of_text(&String::from_utf8_lossy(&heard), signature)?)
            }
        }
    }
}

/// Whether a process was ended by SIGKILL, which none can send itself by mistake.
#[cfg(unix)]
fn is_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    const SIGKILL: i32 = 9;
    status.signal() == Some(SIGKILL)
}

#[cfg(not(unix))]
fn is_killed(_: ExitStatus) -> bool {
    false
}

/// Adds all that a program writes, up to a bound.
async fn read(mut stdout: impl AsyncRead + Unpin, heard: &Mutex<Vec<u8>>) -> Result<(), Error> {
    let mut buffer = [0; 8192];
    loop {
        let read = stdout.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if heard.len() > MAX_OUTPUT_BYTES {
            let reason = format!(
                "it wrote more than {MAX_OUTPUT_BYTES} bytes: write the answer alone, and logs to standard error"
            );
            return Err(Error::Answer { reason });
        }
    }
}
