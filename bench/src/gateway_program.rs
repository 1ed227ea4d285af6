//! A program that is not ours, as the gateway meets it: this binary in a role of its own, which answers lines of JSON and
//! calls its provider with a client that knows nothing of us.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

/// What a program does for one question. The same is done by a native program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Calls for one question, one after another.
    pub(crate) calls: usize,
    /// Texts in the system message.
    pub(crate) components: usize,
    /// Bytes in the user message besides the question.
    pub(crate) filler: usize,
}

impl Shape {
    /// The texts of the program. Every second one has a place that the program fills.
    pub(crate) fn texts(self) -> Vec<String> {
        let text = |number: usize| match number % 2 {
            0 => format!(
                "Rule {number}: read the text with care and answer with the code of what it mentions."
            ),
            _ => format!("Rule {number}: the text is of {{customer}}, who wants nothing but the code."),
        };
        (0..self.components).map(text).collect()
    }

    /// What the system message says.
    pub(crate) fn system(self, texts: &[String]) -> String {
        texts.join("\n\n").replace("{customer}", "Ann")
    }

    /// What the user message says in a call.
    pub(crate) fn said(self, question: &str, call: usize) -> String {
        let filler = "The lamp in the hall is green. ".repeat(self.filler / 31);
        format!("{filler}{question} (call {call})")
    }

    /// As the arguments of the child.
    pub(crate) fn arguments(self) -> [String; 3] {
        [self.calls, self.components, self.filler].map(|number| number.to_string())
    }

    fn read(arguments: &[String]) -> Result<Self> {
        let number =
            |at: usize| arguments.get(at).context("an argument is missing")?.parse().context("a number");
        Ok(Self { calls: number(0)?, components: number(1)?, filler: number(2)? })
    }
}

/// Plays the program until its standard input ends.
pub(crate) fn answer(arguments: &[String]) -> Result<()> {
    let shape = Shape::read(arguments)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let system: Arc<str> = shape.system(&shape.texts()).into();
        let (sender, mut answers) = mpsc::unbounded_channel::<String>();
        let tell = tokio::spawn(async move {
            let mut output = pipe::Sender::from_owned_fd(std::io::stdout().as_fd().try_clone_to_owned()?)?;
            while let Some(line) = answers.recv().await {
                output.write_all(line.as_bytes()).await?;
            }
            anyhow::Ok(())
        });
        let input = pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?;
        let mut lines = BufReader::new(input).lines();
        while let Some(line) = lines.next_line().await? {
            let (client, system, sender) = (client.clone(), Arc::clone(&system), sender.clone());
            tokio::spawn(async move {
                let question: Value = serde_json::from_str(&line)?;
                let field = |name: &str| question.get(name).cloned().unwrap_or_default();
                let answer = match asked(shape, &client, &system, &question).await {
                    Ok(said) => json!({"id": field("id"), "outputs": {"answer": said}}),
                    Err(error) => json!({"id": field("id"), "error": format!("{error:#}")}),
                };
                Ok::<_, anyhow::Error>(sender.send(format!("{answer}\n"))?)
            });
        }
        drop(sender);
        tell.await?
    })
}

/// All calls for one question.
async fn asked(shape: Shape, client: &reqwest::Client, system: &str, question: &Value) -> Result<String> {
    let field =
        |name: &str| question.get(name).and_then(Value::as_str).with_context(|| format!("no `{name}`"));
    let asked = question.pointer("/inputs/question").and_then(Value::as_str).context("no question")?;
    let mut said = String::new();
    for call in 0..shape.calls {
        let body = json!({
            "model": "loopback",
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": shape.said(asked, call)},
            ],
        });
        let request = client.post(format!("{}/chat/completions", field("base_url")?));
        let request = request.bearer_auth(field("api_key")?).header("content-type", "application/json");
        let reply = request.body(body.to_string()).send().await?;
        let status = reply.status();
        let reply: Value = serde_json::from_slice(&reply.bytes().await?)?;
        ensure!(status.is_success(), "{status}: {reply}");
        let text = reply.pointer("/choices/0/message/content").and_then(Value::as_str);
        text.context("no reply")?.clone_into(&mut said);
    }
    Ok(said)
}
