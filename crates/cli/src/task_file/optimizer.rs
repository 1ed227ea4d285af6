//! The section `[optimizer]`, or its name alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::LazyLock;

use anyhow::{Context as _, bail};
use promptopt_run::{Chain, RunOptions, Strategy};
use schemars::JsonSchema;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::keys::{either, nearest};
use crate::optimizers::{KINDS, Kind, KnownOption, Options};

mod schema;

pub(super) use schema::OptimizerForm;

/// What writes instructions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProposerKind {
    /// The prompt model, after a trial, and templates where it cannot write; templates where it is the embedded one.
    #[default]
    Auto,
    /// The prompt model.
    Model,
    /// Templates, without any model.
    Template,
}

/// How prompts are looked for. What is not set is the optimizer's own default.
#[derive(Debug, Clone, Default)]
pub(crate) struct OptimizerSection {
    /// The optimizers, one after the other; empty where the file names none.
    kinds: Vec<Kind>,
    /// What writes instructions.
    pub(crate) proposer: Option<ProposerKind>,
    /// The options that are set.
    options: Options,
}

impl OptimizerSection {
    /// The optimizers that are asked for, in their order.
    fn chosen(&self) -> &[Kind] {
        if self.kinds.is_empty() { KINDS.get(..1).unwrap_or_default() } else { &self.kinds }
    }

    /// The name of the optimizer, or of all in a chain.
    pub(crate) fn name(&self) -> String {
        self.chosen().iter().map(|kind| kind.name).collect::<Vec<_>>().join(" then ")
    }

    /// Sets an option, where there is a value.
    ///
    /// # Errors
    ///
    /// When there is no such option, it has no such value, or it is one of other optimizers.
    pub(crate) fn set(
        &mut self,
        flag: &str,
        name: &str,
        value: Option<impl Into<Value>>,
    ) -> anyhow::Result<()> {
        let Some(value) = value.map(Into::into) else { return Ok(()) };
        let known = KnownOption::named(name).with_context(|| format!("{flag} is no option"))?;
        if is_foreign(known, self.chosen()) {
            bail!("{flag} is an option of {}, but {}", either(&known.owners), self.is_chosen());
        }
        let read =
            known.form().read(name, value.clone()).with_context(|| format!("{flag} cannot be {value}"))?;
        self.options.insert(name.to_owned(), read);
        Ok(())
    }

    /// Checks that every option belongs to the optimizer that is asked for, or to one of a chain.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if let Some(known) = self.known().find(|known| is_foreign(known, self.chosen())) {
            let owners = either(&known.owners);
            bail!("`optimizer.{}` is an option of {owners}, but {}", known.name, self.is_chosen());
        }
        // Options of one name need not be of one type.
        for kind in self.chosen() {
            for (name, value) in self.options_of(*kind) {
                kind.form.read(&name, value).with_context(|| format!("in `optimizer.{name}`"))?;
            }
        }
        Ok(())
    }

    fn is_chosen(&self) -> String {
        let names: Vec<String> = self.chosen().iter().map(|kind| format!("`{}`", kind.name)).collect();
        let chosen = match self.kinds.len() {
            0 => "by default the optimizer is",
            1 => "the optimizer is",
            _ => "the optimizers are",
        };
        format!("{chosen} {}", names.join(" and "))
    }

    /// The options that are set.
    fn known(&self) -> impl Iterator<Item = &'static KnownOption> {
        KnownOption::all().iter().filter(|known| self.options.contains_key(&known.name))
    }

    /// The options that are set and that fit.
    fn those(&self, fits: impl Fn(&KnownOption) -> bool) -> Options {
        let known = self.known().filter(|known| fits(known));
        known.filter_map(|known| Some((known.name.clone(), self.options.get(&known.name)?.clone()))).collect()
    }

    /// The options that are set and that an optimizer has, without those of every run.
    fn options_of(&self, kind: Kind) -> Options {
        self.those(|known| known.is_of(kind))
    }

    /// The options that every run has.
    pub(crate) fn run_options(&self) -> anyhow::Result<RunOptions> {
        let options = Value::Object(self.those(KnownOption::is_of_every_run));
        serde_json::from_value(options).context("reading the options of `[optimizer]`")
    }

    /// The optimizer, or the chain of them, for a run with these options.
    pub(crate) fn strategy(&self, run: RunOptions) -> anyhow::Result<Arc<dyn Strategy>> {
        let mut run = Some(run);
        let mut build = |kind: &Kind| (kind.build)(self.options_of(*kind), run.take());
        let links: Result<Vec<_>, _> = self.chosen().iter().map(&mut build).collect();
        let mut links = links.context("reading the options of `[optimizer]`")?;
        Ok(match links.len() {
            1 => links.swap_remove(0),
            _ => Arc::new(Chain::new(links)),
        })
    }

    /// A whole number that one of the optimizers takes, or has by default; 0 where none has it.
    pub(crate) fn number(&self, name: &str) -> usize {
        let number = |kind: &Kind| -> Option<u64> {
            (kind.form.complete)(self.options_of(*kind)).ok()?.get(name)?.as_u64()
        };
        self.chosen().iter().filter_map(number).max().and_then(|number| number.try_into().ok()).unwrap_or(0)
    }

    /// The same options for another optimizer, without those it does not have; and their names.
    pub(crate) fn for_optimizer(&self, kind: Kind) -> (Self, Vec<String>) {
        let is_new = !self.chosen().contains(&kind);
        let left_out = |known: &&KnownOption| is_foreign(known, &[kind]) || (is_new && known.is_homonym());
        let left_out: Vec<String> = self.known().filter(left_out).map(|known| known.name.clone()).collect();
        let mut other = Self { kinds: vec![kind], ..self.clone() };
        other.options.retain(|name, _| !left_out.contains(name));
        (other, left_out)
    }

    /// The same with another seed.
    pub(crate) fn with_seed(mut self, seed: u64) -> Self {
        self.options.insert("seed".to_owned(), seed.into());
        self
    }

    /// Paths are relative to a folder.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Some(file) = self.options.get_mut("stop_file")
            && let Some(path) = file.as_str().map(PathBuf::from)
        {
            *file = json!(folder.join(path));
        }
    }

    /// What shapes a result, for files.
    pub(crate) fn to_json(&self) -> Value {
        let mut options = self.options.clone();
        // Never changes the result, so two runs that differ in it are the same run.
        options.shift_remove("concurrency");
        options.extend(self.proposer.map(|proposer| ("proposer".to_owned(), json!(proposer))));
        match self.chosen() {
            [kind] => options.insert("kind".to_owned(), json!(kind)),
            chain => options.insert("chain".to_owned(), json!(chain)),
        };
        Value::Object(options)
    }

    fn from_name<E: Error>(name: &str) -> Result<Self, E> {
        let names = Kind::names();
        let kind = Kind::named(&name.to_lowercase()).ok_or_else(|| {
            let meant = nearest(name, names.iter().copied())
                .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            E::custom(format!("there is no optimizer `{name}`, but {}{meant}", either(names)))
        })?;
        Ok(Self { kinds: vec![kind], ..Self::default() })
    }
}

/// Whether an option is one of other optimizers alone.
fn is_foreign(known: &KnownOption, chosen: &[Kind]) -> bool {
    !known.is_of_every_run() && !chosen.iter().any(|kind| known.is_of(*kind))
}

/// A key of the section, of those that there are.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
            let options = KnownOption::all().iter().map(|known| known.name.as_str());
            ["kind", "chain", "proposer"].into_iter().chain(options).collect()
        });
        let name = String::deserialize(deserializer)?;
        match KEYS.contains(&name.as_str()) {
            true => Ok(Self(name)),
            false => Err(D::Error::unknown_field(&name, KEYS.as_slice())),
        }
    }
}

/// Reads the value of an option as its optimizer does, so that a mistake is told where the value stands.
impl<'de> DeserializeSeed<'de> for &KnownOption {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let value = Value::deserialize(deserializer)?;
        self.form().read(&self.name, value).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for OptimizerSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Section;

        impl<'de> Visitor<'de> for Section {
            type Value = OptimizerSection;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of an optimizer or a table")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<OptimizerSection, E> {
                OptimizerSection::from_name(name)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OptimizerSection, A::Error> {
                let mut section = OptimizerSection::default();
                while let Some(Key(name)) = map.next_key()? {
                    let is_named = !section.kinds.is_empty();
                    match name.as_str() {
                        "kind" | "chain" if is_named => {
                            return Err(A::Error::custom("give `kind` or `chain`, but not both"));
                        }
                        "kind" => section.kinds = vec![map.next_value()?],
                        "chain" => {
                            section.kinds = map.next_value()?;
                            if section.kinds.is_empty() {
                                return Err(A::Error::custom(
                                    "`chain` names optimizers in their order, such as [\"miprov2\", \"gepa\"]",
                                ));
                            }
                        }
                        "proposer" => section.proposer = Some(map.next_value()?),
                        _ => {
                            let known = KnownOption::named(&name).ok_or_else(|| A::Error::custom(&name))?;
                            section.options.insert(name, map.next_value_seed(known)?);
                        }
                    }
                }
                Ok(section)
            }
        }

        deserializer.deserialize_any(Section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> anyhow::Result<OptimizerSection> {
        let section: OptimizerSection = toml::from_str(text)?;
        section.check()?;
        Ok(section)
    }

    fn refused(text: &str, parts: &[&str]) {
        let error = format!("{:#}", section(text).unwrap_err());
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_option_of_another_optimizer_names_its_owner() {
        refused("kind = \"gepa\"\nbreadth = 3", &["`optimizer.breadth`", "option of `copro`", "is `gepa`"]);
        refused("frontier = \"hybrid\"", &["option of `gepa`", "by default", "`miprov2`"]);
        refused("kind = \"copro\"\nauto = \"light\"", &["`miprov2` or `gepa`"]);
        refused(
            "chain = [\"copro\", \"gepa\"]\nnum_trials = 3",
            &["option of `miprov2`", "are `copro` and `gepa`"],
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        refused("kind = \"gepa\"\nmax_time = -1.0", &["line 2, column 12", "max_time"]);
        refused("max_time = \"soon\"", &["line 1", "max_time", "15m"]);
        refused("max_time = 0", &["line 1", "max_time", "above 0"]);
        refused("max_cost = \"much\"", &["line 1", "max_cost", "dollars"]);
        refused("seed = 1\nmax_calls = \"5\"", &["line 2, column 13", "string \"5\"", "u64"]);
        refused("temperature = \"hot\"\nkind = \"gepa\"", &["line 1", "f64"]);
        refused("breadth = -1\nkind = \"copro\"", &["line 1", "-1"]);
        refused("temperature = nan", &["line 1", "finite"]);
        refused("frontier = \"all\"", &["line 1", "unknown variant `all`", "hybrid"]);
        refused("seed = 1\nsede = 2", &["line 2, column 1", "unknown field `sede`"]);
        refused("kind = \"gepa\"\nchain = [\"copro\"]", &["not both"]);
        refused("chain = []", &["[\"miprov2\", \"gepa\"]"]);
        refused("chain = [\"copro\", \"gepo\"]", &["line 1", "unknown variant `gepo`"]);
    }

    #[test]
    fn options_that_fit_go_along_to_another_optimizer() {
        let gepa = Kind::named("gepa").unwrap();
        let all = section("kind = \"miprov2\"\nseed = 7\nnum_trials = 3\nminibatch_size = 5").unwrap();
        let (other, left_out) = all.for_optimizer(gepa);
        assert_eq!((other.name(), other.run_options().unwrap().seed), ("gepa".to_owned(), 7));
        assert_eq!(left_out, ["num_trials", "minibatch_size"]);
        other.check().unwrap();
        // In a chain with it, they are that optimizer's already.
        let chain = section("chain = [\"miprov2\", \"gepa\"]\nminibatch_size = 5\nauto = \"light\"").unwrap();
        let (other, left_out) = chain.for_optimizer(gepa);
        assert_eq!((left_out.len(), other.options.len()), (0, 2));
    }

    #[test]
    fn in_a_chain_an_option_goes_to_every_optimizer_that_has_it() {
        let all = section(
            "chain = [\"copro\", \"miprov2\", \"gepa\"]\nauto = \"light\"\nbreadth = 4\nmax_calls = 9\npatience = 2",
        )
        .unwrap();
        let of = |at: usize| all.options_of(all.chosen()[at]);
        assert_eq!(of(0).keys().collect::<Vec<_>>(), ["breadth"]);
        assert_eq!(
            all.those(KnownOption::is_of_every_run).keys().collect::<Vec<_>>(),
            ["max_calls", "patience"]
        );
        assert_eq!(of(1).keys().collect::<Vec<_>>(), ["auto"]);
        assert_eq!(of(2), of(1));
        let mut run = all.run_options().unwrap();
        run.seed = 5;
        let strategy = all.strategy(run).unwrap();
        assert_eq!((strategy.name(), strategy.options().seed), ("COPRO then MIPROv2 then GEPA", 5));
        assert_eq!(strategy.options().limits().calls, Some(9));
    }

    #[test]
    fn numbers_are_those_of_the_file_or_the_defaults() {
        assert_eq!(section("").unwrap().number("max_labeled_demos"), 4);
        assert_eq!(section("max_labeled_demos = 7").unwrap().number("max_labeled_demos"), 7);
        assert_eq!(section("kind = \"gepa\"").unwrap().number("max_labeled_demos"), 0);
    }

    #[test]
    fn what_is_recorded_means_the_same_whatever_it_was_written_like() {
        let recorded = |text: &str| section(text).unwrap().to_json();
        assert_eq!(
            recorded("max_time = \"15m\"\nmax_cost = 5"),
            recorded("max_cost = \"$5\"\nmax_time = 900")
        );
        assert_eq!(recorded("concurrency = 3"), json!({"kind": "miprov2"}));
        let chain = recorded("chain = [\"copro\", \"gepa\"]\nproposer = \"model\"");
        assert_eq!(chain, json!({"proposer": "model", "chain": ["copro", "gepa"]}));
    }
}
