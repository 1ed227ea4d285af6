//! `promptopt models`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use promptopt_core::file::read_text;
use promptopt_lm::ModelName;
use serde::Serialize;
use serde_json::json;

use crate::args::ModelsArgs;
use crate::exit::Exit;
use crate::output::Output;
use crate::secrets::{LARGEST_KEY_FILE, key_variable};
use crate::session;
use crate::task_file::{ModelSection, TaskFile};

const OPENAI: &str = "https://api.openai.com/v1";

/// What is known of one model; never its key.
#[derive(Debug, Serialize)]
struct Row {
    role: String,
    model: String,
    endpoint: Option<String>,
    key: String,
    reachable: Option<bool>,
    detail: String,
}

pub(crate) async fn run(args: &ModelsArgs, output: Output) -> anyhow::Result<()> {
    let task = TaskFile::read(&args.task).map_err(Exit::configuration)?;
    if !(args.timeout > 0.0 && args.timeout <= 3600.0) {
        return Err(
            Exit::Configuration.with(anyhow::anyhow!("--timeout must be a number of seconds above 0"))
        );
    }
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs_f64(args.timeout))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let mut rows = Vec::new();
    for (role, section) in session::named_models(&task) {
        rows.push(row(role, section, &client).await);
    }
    // Those that a program asks for, at the same server; the first one is `model`.
    let asked = task.model.asked().into_iter().skip(1).map(|section| ("model", section));
    for (role, section) in
        asked.chain(task.model.embedding().into_iter().map(|section| ("embeddings", section)))
    {
        rows.push(row(role.to_owned(), &section, &client).await);
    }
    for row in &rows {
        output.text(format_args!("{:<16}{}", row.role, row.model))?;
        if let Some(endpoint) = &row.endpoint {
            output.text(format_args!("{:<16}endpoint: {endpoint} ({})", "", row.detail))?;
            output.text(format_args!("{:<16}key: {}", "", row.key))?;
        } else {
            output.text(format_args!("{:<16}{}", "", row.detail))?;
        }
    }
    output.object(&json!({"command": "models", "models": rows}))?;
    if rows.iter().any(|row| row.reachable == Some(false)) {
        return Err(Exit::Provider.with(anyhow::anyhow!("not every endpoint could be reached")));
    }
    Ok(())
}

async fn row(role: String, section: &ModelSection, client: &reqwest::Client) -> Row {
    let name = section.name.clone();
    let without_endpoint = |reachable, detail: String| Row {
        role: role.clone(),
        model: name.clone(),
        endpoint: None,
        key: "none needed".to_owned(),
        reachable,
        detail,
    };
    if name == "sim" {
        return without_endpoint(None, "simulated, for trying things out".to_owned());
    }
    if name == "local" || name.starts_with("local/") {
        let spec = name.strip_prefix("local/").filter(|spec| !spec.is_empty());
        return match promptopt_lm_local::resolve(spec) {
            Ok(path) => without_endpoint(None, format!("embedded, weights at {}", path.display())),
            Err(error) => without_endpoint(Some(false), format!("embedded, but {error}")),
        };
    }
    let (model, url) = match ModelName::parse(&name, section.base_url.as_deref()) {
        Err(error) => return without_endpoint(Some(false), error.to_string()),
        Ok(ModelName::Provider { provider, model }) => {
            (model, section.provider_url.clone().unwrap_or_else(|| provider.base_url().to_owned()))
        }
        Ok(ModelName::Compatible { model, base_url }) => (
            model.unwrap_or_else(|| "the only one there".to_owned()),
            base_url.unwrap_or_else(|| OPENAI.to_owned()),
        ),
        Ok(_) => (name.clone(), OPENAI.to_owned()),
    };
    let (shown, reached) = match endpoint(&url) {
        Ok(url) => (shown(&url), reach(&url, client).await),
        Err(error) => ("(not a URL)".to_owned(), Err(error)),
    };
    let (reachable, detail) = match reached {
        Ok(status) => (true, format!("reachable, HTTP {status}")),
        Err(error) => (false, format!("not reachable: {error:#}")),
    };
    Row { role, model, endpoint: Some(shown), key: key(section), reachable: Some(reachable), detail }
}

fn endpoint(url: &str) -> anyhow::Result<reqwest::Url> {
    let url = reqwest::Url::parse(url).context("the base URL cannot be read")?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("the base URL must begin with http:// or https://");
    }
    Ok(url)
}

/// The URL without login and query, which may be secret.
fn shown(url: &reqwest::Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Asks for the list of models, without a key: any answer at all says that somebody is there.
async fn reach(url: &reqwest::Url, client: &reqwest::Client) -> anyhow::Result<u16> {
    let mut list = url.clone();
    let _ = list.set_username("");
    let _ = list.set_password(None);
    list.set_query(None);
    list.set_path(&format!(
        "{}/models",
        url.path().trim_end_matches('/').trim_end_matches("/chat/completions")
    ));
    match client.get(list).send().await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) if error.is_timeout() => bail!("no answer in time"),
        Err(error) if error.is_connect() => bail!("no connection"),
        Err(error) => Err(anyhow::Error::new(error.without_url())),
    }
}

/// Whether the key is where it should be.
fn key(section: &ModelSection) -> String {
    if let Some(file) = &section.api_key_file {
        let there = read_text(file, LARGEST_KEY_FILE).is_ok_and(|text| !text.trim().is_empty());
        return format!(
            "file {} {}",
            file.display(),
            if there { "holds one" } else { "cannot be read or is empty" }
        );
    }
    let variable = key_variable(section);
    let set = std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    match (set, &section.api_key_env) {
        (true, _) => format!("{variable} is set"),
        (false, Some(_)) => format!("{variable} is not set"),
        (false, None) => format!("{variable} is not set, so none is sent"),
    }
}
