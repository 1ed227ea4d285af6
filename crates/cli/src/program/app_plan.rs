//! A program that is not ours, as the task file describes it, checked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use promptopt_core::file::read_text;
use promptopt_core::lm::LanguageModel;
#[cfg(not(feature = "gateway"))]
use promptopt_core::program::Module;
use promptopt_core::signature::Signature;

use crate::task_file::{ComponentKind, ComponentSection, ProgramSection};
use crate::user_command::{self, UserCommand, checked_timeout};

/// What `demos` says where the program shows them itself.
const PROGRAM: &str = "program";

/// The program itself, as it is built where there is a gateway.
#[cfg(feature = "gateway")]
pub(crate) type Asked = promptopt_gateway::App;
/// No such program.
#[cfg(not(feature = "gateway"))]
pub(crate) type Asked = Box<dyn Module>;

/// The models that a program may ask for, by the names that it uses.
#[derive(Clone, Default)]
pub(crate) struct AskedModels {
    pub(crate) chat: Vec<(String, Arc<dyn LanguageModel>)>,
    pub(crate) embeddings: Vec<(String, Arc<dyn LanguageModel>)>,
}

/// Seconds for one row where nothing is said.
const TIMEOUT: f64 = 120.0;

/// The largest text of a component, in bytes.
const MAX_TEXT: u64 = 1024 * 1024;

/// A program that is asked from outside: how, and which of its texts may change.
#[derive(Debug, Clone)]
pub(crate) struct AppPlan {
    door: Door,
    env: Vec<String>,
    timeout: Option<f64>,
    max_calls: Option<u64>,
    components: Vec<ComponentSection>,
}

/// How it is asked.
#[derive(Debug, Clone)]
enum Door {
    Run { command: Vec<String>, variables: BTreeMap<String, String> },
    Serve { command: Vec<String>, workers: Option<usize> },
    Url(String),
}

impl AppPlan {
    /// What the section says of such a program; `None` where it is one of our predictors.
    pub(crate) fn of(section: &ProgramSection, signature: &Signature) -> anyhow::Result<Option<Self>> {
        let doors = [
            section
                .run
                .clone()
                .map(|command| ("run", Door::Run { command, variables: section.variables.clone() })),
            section.serve.clone().map(|command| ("serve", Door::Serve { command, workers: section.workers })),
            section.url.clone().map(|url| ("url", Door::Url(url))),
        ];
        let mut doors = doors.into_iter().flatten();
        let Some((key, door)) = doors.next() else {
            let idle = [
                ("components", section.components.is_empty()),
                ("variables", section.variables.is_empty()),
                ("workers", section.workers.is_none()),
                ("timeout", section.timeout.is_none()),
                ("env", section.env.is_empty()),
                ("max_calls", section.max_calls.is_none()),
            ];
            if let Some((key, _)) = idle.into_iter().find(|(_, is_empty)| !is_empty) {
                bail!(
                    "`program.{key}` is for a program that is not ours: say by `run`, `serve` or `url` how it is asked, or leave it out"
                );
            }
            return Ok(None);
        };
        if let Some((other, _)) = doors.next() {
            bail!("`program.{key}` and `program.{other}` are two ways to ask one program: keep one");
        }
        if section.instruction.is_some() || section.reasoning || section.format.is_some() {
            bail!(
                "`program.{key}` asks a program that writes its own requests, so `instruction`, `reasoning` and `format` have no place beside it: its texts are `[[program.components]]`"
            );
        }
        if !section.variables.is_empty() && key != "run" {
            bail!("`program.variables` is for `run`: a program behind `{key}` gets its inputs as JSON");
        }
        if section.workers.is_some() && key != "serve" {
            bail!("`program.workers` is for `serve`");
        }
        if section.workers == Some(0) {
            bail!("`program.workers` is 0: give at least 1");
        }
        for (variable, input) in &section.variables {
            if !signature.inputs().iter().any(|field| field.name == *input) {
                bail!(
                    "`program.variables` fills {variable} with `{input}`, which is no input of the signature"
                );
            }
        }
        let mut seen = Vec::new();
        let wrong_component = |component: &ComponentSection| -> Option<String> {
            let name = &component.name;
            if component.max_length == Some(0) {
                return Some(format!("the component `{name}` has `max_length` = 0: give at least 1"));
            }
            if component.keep.iter().flatten().any(|text| text.trim().is_empty()) {
                return Some(format!("the component `{name}` keeps an empty text: take it out of `keep`"));
            }
            match (&component.demos, &component.signature) {
                (Some(demos), Some(_)) if demos == PROGRAM => None,
                (_, Some(_)) => Some(format!(
                    "the `signature` of the component `{name}` is for `demos = \"{PROGRAM}\"`: leave it out"
                )),
                _ => None,
            }
        };
        for component in &section.components {
            let is_name = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
            if component.name.is_empty() || !component.name.chars().all(is_name) {
                bail!(
                    "`{}` is not a name of a component: use letters, digits, `_`, `-` and `.`",
                    component.name
                );
            }
            if seen.contains(&&component.name) {
                bail!("two components are called `{}`: each needs a name of its own", component.name);
            }
            if component.text.is_none() && component.file.is_none() {
                bail!("the component `{}` needs its `text`, or the `file` that holds it", component.name);
            }
            if let Some(wrong) = wrong_component(component) {
                bail!("{wrong}");
            }
            seen.push(&component.name);
        }
        if cfg!(not(feature = "gateway")) {
            bail!(
                "this promptopt was built without the gateway that `program.{key}` needs: build it with `--features gateway`"
            );
        }
        let plan = Self {
            door,
            env: section.env.clone(),
            timeout: section.timeout,
            max_calls: section.max_calls,
            components: section.components.clone(),
        };
        plan.command(Path::new(""))?;
        Ok(Some(plan))
    }

    /// Checks that there is a text to improve.
    pub(crate) fn check_components(&self) -> anyhow::Result<()> {
        if self.components.is_empty() {
            bail!(
                "the program has no texts to improve: name them in `[[program.components]]`, each with `name` and `text` or \
                 `file`, or let `promptopt discover` find them"
            );
        }
        Ok(())
    }

    /// The same for those who look for its texts.
    #[cfg(feature = "gateway")]
    pub(crate) fn without_components(mut self) -> Self {
        self.components.clear();
        self
    }

    /// Checks that the variables are set which it gets.
    pub(crate) fn check_variables(&self) -> anyhow::Result<()> {
        user_command::check_variables("program.", &self.env)
    }

    /// The command, where it is one.
    fn command(&self, folder: &Path) -> anyhow::Result<Option<UserCommand>> {
        let (key, command) = match &self.door {
            Door::Run { command, .. } => ("run", command),
            Door::Serve { command, .. } => ("serve", command),
            Door::Url(url) => {
                if !url.starts_with("http://") && !url.starts_with("https://") {
                    bail!("`program.url` is `{url}`: give an address such as http://127.0.0.1:9000/answer");
                }
                checked_timeout("program.", self.timeout.unwrap_or(TIMEOUT))?;
                return Ok(None);
            }
        };
        if command.first().is_none_or(|program| program.trim().is_empty()) {
            bail!(
                "`program.{key}` is empty: give the program and its arguments, such as [\"python3\", \"app.py\"]"
            );
        }
        let command =
            UserCommand::new("program.", command, folder, self.timeout.or(Some(TIMEOUT)), &self.env);
        command.map(Some)
    }

    /// The program itself. Its commands run in a folder, from which its files are read.
    #[cfg(feature = "gateway")]
    pub(crate) fn module(&self, name: &str, signature: &Signature, folder: &Path) -> anyhow::Result<Asked> {
        use promptopt_gateway::{App, Door as Asked, Run, Serve, Url};

        let command = self.command(folder)?;
        let door = match (&self.door, command) {
            (Door::Run { variables, .. }, Some(UserCommand { line, timeout })) => {
                Asked::Run(Run::new(line).with_timeout(timeout).with_variables(variables.clone()))
            }
            (Door::Serve { workers, .. }, Some(UserCommand { line, timeout })) => {
                Asked::Serve(Serve::new(line).with_timeout(timeout).with_workers(workers.unwrap_or(1)))
            }
            (Door::Url(url), _) => {
                let timeout = checked_timeout("program.", self.timeout.unwrap_or(TIMEOUT))?;
                Asked::Url(Url::new(url)?.with_timeout(timeout))
            }
            _ => bail!("the program has no command"),
        };
        let mut app = App::new(name, signature.clone(), door);
        if let Some(calls) = self.max_calls {
            app = app.with_calls(calls);
        }
        for section in &self.components {
            app = app.with_component(component(section, folder)?);
        }
        Ok(app)
    }

    #[cfg(not(feature = "gateway"))]
    pub(crate) fn module(&self, _: &str, _: &Signature, _: &Path) -> anyhow::Result<Asked> {
        bail!("this promptopt was built without the gateway")
    }
}

/// A program with the models that it may ask for.
#[cfg(feature = "gateway")]
pub(crate) fn equipped(mut app: Asked, models: AskedModels) -> Asked {
    for (name, model) in models.chat {
        app = app.with_model(name, model);
    }
    for (name, model) in models.embeddings {
        app = app.with_embeddings(name, model);
    }
    app
}

#[cfg(not(feature = "gateway"))]
pub(crate) fn equipped(app: Asked, _: AskedModels) -> Asked {
    app
}

/// The texts of a program as it sends them, in the order of its predictors.
#[cfg(feature = "gateway")]
pub(crate) fn texts(app: &Asked) -> Vec<String> {
    app.texts()
}

#[cfg(not(feature = "gateway"))]
pub(crate) fn texts(_: &Asked) -> Vec<String> {
    Vec::new()
}

/// A program with a gateway that listens at an address.
#[cfg(feature = "gateway")]
pub(crate) fn listening(app: Asked, address: &str) -> Asked {
    app.listening_at(address)
}

#[cfg(not(feature = "gateway"))]
pub(crate) fn listening(app: Asked, _: &str) -> Asked {
    app
}

#[cfg(feature = "gateway")]
fn component(section: &ComponentSection, folder: &Path) -> anyhow::Result<promptopt_gateway::Component> {
    use promptopt_gateway::{Component, ComponentKind as Kind, Demos};

    let name = &section.name;
    let text = text(section, folder)?;
    let kind = match section.kind {
        ComponentKind::Instruction => Kind::Instruction,
        ComponentKind::ToolDescription => Kind::ToolDescription,
        ComponentKind::AnyText => Kind::AnyText,
    };
    let mut component = Component::new(name, &text).of_kind(kind);
    if let Some(description) = &section.description {
        component = component.with_description(description);
    }
    if let Some(most) = section.max_length {
        component = component.with_max_length(most);
    }
    if let Some(keep) = &section.keep {
        if let Some(lost) = keep.iter().find(|kept| !component.text().contains(kept.as_str())) {
            bail!("the component `{name}` is to keep {lost:?}, which its text does not contain word by word");
        }
        component = component.with_keep(keep);
    }
    match section.demos.as_deref() {
        None => {}
        Some(PROGRAM) => component = component.with_demos(Demos::Program),
        Some(place) if component.places().contains(&place) => {
            component = component.with_demos(Demos::Place(place.to_owned()));
        }
        Some(place) => bail!(
            "the demos of the component `{name}` are to stand at `{place}`, which is no place in its text: write a place such as \
             `{{examples}}` into it, or `demos = \"{PROGRAM}\"` where the program shows them itself"
        ),
    }
    if let Some(signature) = &section.signature {
        let parsed = Signature::parse(signature);
        component = component
            .with_signature(parsed.with_context(|| format!("in the signature of the component `{name}`"))?);
    }
    Ok(component)
}

/// The text of a component, from its file where it does not stand in the task file.
pub(crate) fn text(section: &ComponentSection, folder: &Path) -> anyhow::Result<String> {
    if let Some(text) = &section.text {
        return Ok(text.clone());
    }
    let file = folder.join(section.file.as_deref().unwrap_or_else(|| Path::new("")));
    let reading = || format!("reading the component `{}` from {}", section.name, file.display());
    let text = read_text(&file, MAX_TEXT).with_context(reading)?;
    if text.trim().is_empty() {
        bail!("the component `{}` is empty: {} holds no text", section.name, file.display());
    }
    Ok(text)
}
