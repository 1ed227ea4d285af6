//! The sections `[model]` and `[prompt_model]`, and other places that name a model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::FromName;

/// The model that a program asks for.
pub(crate) const AS_ASKED: &str = "as-asked";

/// A model: its name alone, or a table.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelSection {
    /// `local`, `local/NAME-OR-PATH`, `sim`, `PROVIDER/MODEL`, `MODEL@BASE_URL`, or a model at `base_url`. For a program that
    /// is not ours also `as-asked`: those that it names, of `models`.
    pub(crate) name: String,
    /// The models that a program may ask for where the name is `as-asked`. Where there is no `prompt_model`, the first one
    /// writes the instructions.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// The models that a program that is not ours may ask for embeddings.
    #[serde(default)]
    pub(crate) embeddings: Vec<String>,
    /// Whether the name was `as-asked`; it is the first of `models` then.
    #[serde(skip)]
    pub(crate) as_asked: bool,
    /// An OpenAI-compatible server. Default: OpenAI's.
    pub(crate) base_url: Option<String>,
    /// Where the API of the provider in the name lives, for a proxy. Default: the provider's own address.
    pub(crate) provider_url: Option<String>,
    /// The environment variable that holds the key. Default: the provider's own, such as `OPENAI_API_KEY`.
    pub(crate) api_key_env: Option<String>,
    /// A file that holds the key and nothing else, relative to the task file.
    pub(crate) api_key_file: Option<PathBuf>,
    /// Softmax temperature; 0 is greedy. Default: the model's own.
    pub(crate) temperature: Option<f64>,
    /// Nucleus mass, in (0, 1].
    pub(crate) top_p: Option<f64>,
    /// The most tokens of a reply.
    pub(crate) max_tokens: Option<u32>,
    /// Tokens of prompt and reply together that the embedded model has room for, at most as many as it was trained
    /// with. Default: 4096.
    pub(crate) context_length: Option<u32>,
    /// Texts at which a reply ends; those of `[model]` are for the program's predictors, not for what it writes as the
    /// prompt model. An empty list takes away the end marker of the chat format, at which the embedded model stops.
    pub(crate) stop: Option<Vec<String>>,
    /// Seed of models that can sample repeatably.
    pub(crate) seed: Option<u64>,
    /// How much a reasoning model reasons, in its provider's words, such as `low`. Default: the model's own.
    pub(crate) reasoning_effort: Option<String>,
    /// How much a model says, in its provider's words: `low`, `medium` or `high`. Default: the model's own.
    pub(crate) verbosity: Option<String>,
    /// Seconds that one call may take. Default: 120.
    pub(crate) timeout: Option<f64>,
    /// Attempts after the first, for what is worth a retry. Default: 5.
    pub(crate) max_retries: Option<u32>,
    /// The longest wait in seconds that a server may ask for before a retry. Default: 60.
    pub(crate) max_retry_after: Option<f64>,
    /// Seconds after which a request is sent a second time, and the first reply taken. Costs up to
    /// twice as much. Default: never.
    pub(crate) hedge_after: Option<f64>,
    /// The most requests a minute. Default: as many as the server bears.
    pub(crate) requests_per_minute: Option<u64>,
    /// The most tokens a minute, read and written. Default: as many as the server bears.
    pub(crate) tokens_per_minute: Option<u64>,
    /// With `--fleet`: each worker has the model itself, such as one on its machine, and makes the calls of its rollouts under
    /// an allowance. Default: all calls are made by the coordinator.
    #[serde(default)]
    pub(crate) on_workers: bool,
    /// Further headers. Secrets do not belong here.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Further parameters of the request's body.
    #[serde(default)]
    pub(crate) extra: serde_json::Map<String, serde_json::Value>,
}

impl ModelSection {
    /// A model under its own settings.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Takes the first of the models that a program may ask for where it says `as-asked`.
    pub(crate) fn settle(&mut self, place: &str) -> anyhow::Result<()> {
        if self.name != AS_ASKED {
            if !self.models.is_empty() {
                bail!("`{place}.models` is for `name = \"{AS_ASKED}\"`: say so, or leave it out");
            }
            return Ok(());
        }
        let Some(first) = self.models.first() else {
            bail!(
                "`{place}.name` is `{AS_ASKED}`: list the models that the program asks for in `{place}.models`"
            );
        };
        if let Some(wrong) = self
            .models
            .iter()
            .find(|name| ["sim", "local", AS_ASKED].contains(&name.as_str()) || name.starts_with("local/"))
        {
            bail!("`{place}.models` lists `{wrong}`, which is no model of a server");
        }
        self.name.clone_from(first);
        self.as_asked = true;
        Ok(())
    }

    /// The same settings for each model that a program may ask for.
    pub(crate) fn asked(&self) -> Vec<Self> {
        let models = self.models.iter().filter(|_| self.as_asked);
        models.map(|name| Self { name: name.clone(), ..self.clone() }).collect()
    }

    /// The same server for each model of embeddings.
    pub(crate) fn embedding(&self) -> Vec<Self> {
        let section = |name: &String| {
            let mut section = Self { name: name.clone(), ..self.clone() };
            section.extra.clear();
            (section.reasoning_effort, section.verbosity, section.hedge_after) = (None, None, None);
            section
        };
        self.embeddings.iter().map(section).collect()
    }

    /// Texts at which a reply ends: those of the file, and a usual one where the file does not say that there are none.
    pub(crate) fn stops(&self, usual: Option<&str>) -> Vec<String> {
        match self.stop.as_deref() {
            Some([]) => Vec::new(),
            own => {
                own.unwrap_or_default().iter().map(String::as_str).chain(usual).map(str::to_owned).collect()
            }
        }
    }

    /// The same without texts of its own at which a reply ends.
    pub(crate) fn without_stop(&self) -> Self {
        Self { stop: self.stop.clone().filter(Vec::is_empty), ..self.clone() }
    }
}

impl FromName for ModelSection {
    const EXPECTED: &'static str = "the name of a model";

    fn from_name(name: &str) -> Result<Self, String> {
        Ok(Self::named(name))
    }
}

/// What the schema says of a model.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is the schema of what is read by hand and is never made")]
pub(super) enum ModelForm {
    /// The model's name alone.
    Name(String),
    Table(Box<ModelSection>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_of_stop_texts_takes_the_usual_one_away() {
        let check = |stop: &str, stops: &[&str], without: &[&str]| {
            let section: ModelSection = toml::from_str(&format!("name = \"m\"\n{stop}")).unwrap();
            assert_eq!(section.stops(Some("end")), stops, "{stop}");
            assert_eq!(section.without_stop().stops(Some("end")), without, "{stop}");
        };
        check("", &["end"], &["end"]);
        check("stop = [\"\\n\"]", &["\n", "end"], &["end"]);
        check("stop = []", &[], &[]);
    }
}
