//! A fleet over NATS, as task file and command line describe it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use promptopt_fleet::Fleet;
use promptopt_fleet::nats::{NatsCoordinator, NatsCredentials, NatsOptions, overview};
use secrecy::SecretString;
use serde_json::json;

use super::Identity;
use crate::args::FleetCommand;
use crate::exit::Exit;
use crate::output::Output;
use crate::secrets;
use crate::task_file::{FleetSection, TaskFile};

/// How the server is reached. An empty URL stands for that of the section.
pub(crate) fn options(url: &str, section: &FleetSection) -> anyhow::Result<NatsOptions> {
    read(url, section).map_err(Exit::configuration)
}

fn read(url: &str, section: &FleetSection) -> anyhow::Result<NatsOptions> {
    let url = Some(url).filter(|url| !url.is_empty()).or(section.url.as_deref()).context(
        "it is not said where the fleet meets: write `--fleet nats://HOST:4222`, or `url` in `[fleet]` of the task file",
    )?;
    let mut options = NatsOptions::new(url);
    if let Some(prefix) = &section.prefix {
        options = options.with_prefix(prefix);
    }
    let variable = |key: &str, name: &Option<String>| -> anyhow::Result<Option<SecretString>> {
        let Some(name) = name else { return Ok(None) };
        let value = std::env::var(name)
            .with_context(|| format!("`fleet.{key}` names {name}, which is not set in the environment"))?;
        secrets::learn(vec![value.clone()]);
        Ok(Some(SecretString::from(value)))
    };
    let nkey = variable("nkey_env", &section.nkey_env)?.map(NatsCredentials::NKey);
    let token = variable("token_env", &section.token_env)?.map(NatsCredentials::Token);
    let password = variable("password_env", &section.password_env)?;
    let user = match (&section.user, password) {
        (Some(user), Some(password)) => Some(NatsCredentials::User(user.clone(), password)),
        (None, None) => None,
        (Some(_), None) => bail!("`fleet.user` needs `password_env`, the variable that holds the password"),
        (None, Some(_)) => bail!("`fleet.password_env` is the password of nobody: give `user`"),
    };
    let file = section.credentials_file.clone().map(NatsCredentials::File);
    let mut given = [file, nkey, token, user].into_iter().flatten();
    if let Some(credentials) = given.next() {
        options = options.with_credentials(credentials);
    }
    if given.next().is_some() {
        bail!(
            "`[fleet]` has several kinds of credentials: keep one of `credentials_file`, `nkey_env`, `token_env`, `user`"
        );
    }
    if let Some(file) = &section.root_certificates {
        options = options.with_root_certificates(file);
    }
    match (&section.client_certificate, &section.client_key) {
        (Some(certificate), Some(key)) => options = options.with_client_certificate(certificate, key),
        (None, None) => {}
        _ => bail!("`fleet.client_certificate` and `fleet.client_key` go together"),
    }
    if let Some(lease) = section.lease {
        if !(1.0..=86_400.0).contains(&lease) {
            bail!("`fleet.lease` is {lease}, but must be a number of seconds from 1 to 86400");
        }
        options = options.with_lease(Duration::from_secs_f64(lease));
    }
    Ok(options)
}

/// The coordinator of a new run.
pub(super) async fn coordinator(options: NatsOptions, identity: Identity) -> anyhow::Result<Fleet> {
    let run = Fleet::new_run()?;
    let identity = promptopt_fleet::Identity::new(identity.0);
    let transport = NatsCoordinator::connect(options, identity, run.clone())
        .await
        .map_err(|error| Exit::Provider.with(error.into()))?;
    Ok(Fleet::of_run(Arc::new(transport), run))
}

/// Shows workers and runs.
pub(super) async fn status(command: &FleetCommand, output: Output) -> anyhow::Result<()> {
    let FleetCommand::Status(args) = command;
    let section = match &args.task {
        Some(path) => TaskFile::read(path).map_err(Exit::configuration)?.fleet,
        None => FleetSection::default(),
    };
    let options = options(args.fleet.as_deref().unwrap_or_default(), &section)?;
    let seen = overview(options).await.map_err(|error| Exit::Provider.with(error.into()))?;
    output.text(format_args!("rollouts in the queue: {}", seen.queued))?;
    if seen.members.is_empty() {
        output
            .text(format_args!("nobody is there: start workers with `promptopt worker TASK --fleet URL`"))?;
    }
    for member in &seen.members {
        output.text(format_args!("{member}"))?;
    }
    output.object(&json!({"command": "fleet status", "queued": seen.queued, "members": seen.members}))
}
