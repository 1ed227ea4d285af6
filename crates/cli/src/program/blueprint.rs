//! A program as the task file describes it, checked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, bail};
use promptopt_core::lm::{Sampling, ToolDefinition};
use promptopt_core::signature::{Field, FieldType, Signature};
use serde_json::Value;

use super::agent_plan::AgentPlan;
use super::app_plan::AppPlan;
use crate::task_file::{
    FieldSection, Format, ModelSection, PredictorSection, ProgramSection, ToolForm, nearest,
};

/// A program that can be built: every predictor has a name and a signature, and every input comes
/// from somewhere.
#[derive(Debug, Clone)]
pub(crate) struct Blueprint {
    pub(crate) steps: Vec<StepPlan>,
    /// What the whole program takes and gives.
    pub(crate) signature: Signature,
    /// The program where it is not ours; there are no steps then.
    pub(crate) app: Option<AppPlan>,
}

/// Predictor -> the tools that MCP servers gave it.
pub(crate) type ServedTools = BTreeMap<String, Vec<ToolDefinition>>;

/// One predictor to be built.
#[derive(Debug, Clone)]
pub(crate) struct StepPlan {
    pub(crate) name: String,
    /// Without reasoning.
    pub(crate) signature: Signature,
    pub(crate) reasoning: bool,
    pub(crate) format: Option<Format>,
    pub(crate) sampling: Sampling,
    pub(crate) model: Option<ModelSection>,
    /// What makes it an agent.
    pub(crate) agent: Option<AgentPlan>,
}

impl Blueprint {
    pub(crate) fn of(section: &ProgramSection) -> anyhow::Result<Self> {
        if section.predictors.is_empty()
            && let Some(app) = Self::app(section)?
        {
            return Ok(app);
        }
        let blueprint =
            if section.predictors.is_empty() { Self::single(section) } else { Self::chain(section) }?;
        for step in blueprint.steps.iter().filter(|step| step.reasoning) {
            if step.signature.field("reasoning").is_some() {
                bail!(
                    "the predictor `{}` has a field `reasoning`, and `reasoning = true` adds an output of that name: \
                     rename the field, or take `reasoning` out",
                    step.name
                );
            }
        }
        let idle = [
            ("max_turns", section.max_turns.is_some()),
            ("tool_form", section.tool_form != ToolForm::Auto),
            ("improve_tools", section.improve_tools),
        ];
        if let Some((key, _)) = idle.into_iter().find(|(_, is_set)| *is_set)
            && blueprint.steps.iter().all(|step| step.agent.is_none())
        {
            bail!(
                "`program.{key}` is for agents, and there are no `tools` and no `mcp`: add some, or leave it out"
            );
        }
        Ok(blueprint)
    }

    /// Checks that the environment variables are set which its tools get.
    pub(crate) fn check_variables(&self) -> anyhow::Result<()> {
        self.app.iter().try_for_each(AppPlan::check_variables)?;
        self.steps.iter().filter_map(|step| step.agent.as_ref()).try_for_each(AgentPlan::check_variables)
    }

    /// The same with the tools of its MCP servers, which are started in a folder.
    pub(crate) async fn equipped(mut self, folder: &Path) -> anyhow::Result<Self> {
        for step in &mut self.steps {
            if let Some(agent) = &mut step.agent {
                agent.start(folder).await.with_context(|| format!("in the predictor `{}`", step.name))?;
            }
        }
        Ok(self)
    }

    /// The same with what is known of the tools of its MCP servers, by predictor. They can be shown, and not called.
    pub(crate) fn showing(mut self, tools: &ServedTools) -> Self {
        for step in &mut self.steps {
            if let (Some(agent), Some(tools)) = (&mut step.agent, tools.get(&step.name)) {
                agent.show(tools);
            }
        }
        self
    }

    /// What is known of the tools of its MCP servers.
    pub(crate) fn served(&self) -> ServedTools {
        let served = |step: &StepPlan| {
            let tools = step.agent.as_ref()?.served.definitions();
            Some((step.name.clone(), tools)).filter(|(_, tools)| !tools.is_empty())
        };
        self.steps.iter().filter_map(served).collect()
    }

    /// The same with texts at which replies end, for predictors without a model of their own, or for all of them.
    pub(crate) fn with_stop(mut self, stop: &[String], all: bool) -> Self {
        for step in self.steps.iter_mut().filter(|step| all || step.model.is_none()) {
            step.sampling.stop = stop.to_vec();
        }
        self
    }

    /// A program that is not ours.
    fn app(section: &ProgramSection) -> anyhow::Result<Option<Self>> {
        let Some(text) = &section.signature else { return Ok(None) };
        let plain = Signature::parse(text).context("in `program.signature`")?;
        let Some(app) = AppPlan::of(section, &plain)? else { return Ok(None) };
        app.check_components()?;
        let signature = described(&plain, &section.descriptions, None, "program")?;
        Ok(Some(Self { steps: Vec::new(), signature, app: Some(app) }))
    }

    fn single(section: &ProgramSection) -> anyhow::Result<Self> {
        let Some(text) = &section.signature else {
            bail!(
                "`[program]` needs a `signature`, such as `signature = \"ticket -> department\"`, or \
                 `[[program.predictors]]` for a chain"
            );
        };
        let plain = Signature::parse(text).context("in `program.signature`")?;
        let signature = described(&plain, &section.descriptions, section.instruction.as_deref(), "program")?;
        let step = StepPlan {
            name: section.name.clone().unwrap_or_else(|| "predict".to_owned()),
            signature: signature.clone(),
            reasoning: section.reasoning,
            format: section.format,
            sampling: Sampling::default(),
            model: None,
            agent: AgentPlan::of(&section.tools, &section.mcp, section.max_turns, section)?,
        };
        Ok(Self { steps: vec![step], signature, app: None })
    }

    fn chain(section: &ProgramSection) -> anyhow::Result<Self> {
        if section.instruction.is_some() {
            bail!(
                "`program.instruction` has no place beside `[[program.predictors]]`: each predictor has its own"
            );
        }
        for (key, is_empty) in [("tools", section.tools.is_empty()), ("mcp", section.mcp.is_empty())] {
            if !is_empty {
                bail!(
                    "`program.{key}` has no place beside `[[program.predictors]]`: each predictor has its own"
                );
            }
        }
        if !section.descriptions.is_empty() {
            bail!(
                "`program.descriptions` has no place beside `[[program.predictors]]`: each predictor has its own"
            );
        }
        let mut steps = Vec::new();
        let mut names = HashSet::new();
        for predictor in &section.predictors {
            let step = step(predictor, section).with_context(|| {
                format!("in the predictor `{}` of `[[program.predictors]]`", predictor.name)
            })?;
            if !names.insert(step.name.clone()) {
                bail!("two predictors are called `{}`: each needs a name of its own", step.name);
            }
            steps.push(step);
        }
        let declared = match &section.signature {
            Some(text) => Some(Signature::parse(text).context("in `program.signature`")?),
            None => None,
        };
        let inputs = inputs(&steps, declared.as_ref())?;
        let outputs = outputs(&steps, declared.as_ref())?;
        let signature = Signature::new(inputs, outputs, "").context("putting the predictors together")?;
        Ok(Self { steps, signature, app: None })
    }
}

/// What the program takes: what is declared, or else whatever no predictor makes.
fn inputs(steps: &[StepPlan], declared: Option<&Signature>) -> anyhow::Result<Vec<Field>> {
    let makers: HashMap<&str, usize> = steps
        .iter()
        .enumerate()
        .flat_map(|(index, step)| {
            step.signature.outputs().iter().map(move |field| (field.name.as_str(), index))
        })
        .collect();
    let mut inputs: Vec<Field> = declared.map_or_else(Vec::new, |signature| signature.inputs().to_vec());
    for (index, step) in steps.iter().enumerate() {
        for field in step.signature.inputs() {
            match makers.get(field.name.as_str()).and_then(|maker| Some((*maker, steps.get(*maker)?))) {
                Some((maker, _)) if maker < index => {}
                Some((maker, _)) if maker == index => {}
                Some((_, later)) => bail!(
                    "the predictor `{}` takes `{}`, which `{}` makes only after it: put `{}` before it",
                    step.name,
                    field.name,
                    later.name,
                    later.name
                ),
                None if inputs.iter().any(|known| known.name == field.name) => {
                    let place = inputs.iter_mut().find(|known| known.name == field.name);
                    if let Some(known) = place.filter(|known| known.description.is_empty()) {
                        known.description.clone_from(&field.description);
                    }
                }
                None if declared.is_some() => {
                    let known: Vec<&str> = inputs
                        .iter()
                        .map(|field| field.name.as_str())
                        .chain(makers.keys().copied())
                        .collect();
                    let meant = nearest(&field.name, known.iter().copied())
                        .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                    bail!(
                        "the predictor `{}` takes `{}`, which is neither an input of `program.signature` nor an \
                         output of a predictor before it{meant}",
                        step.name,
                        field.name
                    );
                }
                None => inputs.push(field.clone()),
            }
        }
    }
    let mut made: HashMap<&str, &str> = HashMap::new();
    for step in steps {
        for field in step.signature.outputs() {
            if inputs.iter().any(|input| input.name == field.name) {
                bail!(
                    "the predictor `{}` makes `{}`, which is an input of the program: give it another name",
                    step.name,
                    field.name
                );
            }
            if let Some(other) = made.insert(&field.name, &step.name) {
                bail!(
                    "both `{other}` and `{}` make `{}`: give one of the two another name",
                    step.name,
                    field.name
                );
            }
        }
    }
    Ok(inputs)
}

/// What the program gives: what is declared, or else what the last predictor makes.
fn outputs(steps: &[StepPlan], declared: Option<&Signature>) -> anyhow::Result<Vec<Field>> {
    let Some(declared) = declared else {
        return Ok(steps.last().map_or_else(Vec::new, |step| step.signature.outputs().to_vec()));
    };
    let all: Vec<&Field> = steps.iter().flat_map(|step| step.signature.outputs()).collect();
    declared
        .outputs()
        .iter()
        .map(|field| match all.iter().find(|made| made.name == field.name) {
            Some(made) => Ok((*made).clone()),
            None => {
                let meant = nearest(&field.name, all.iter().map(|made| made.name.as_str()))
                    .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                bail!("`program.signature` gives `{}`, but no predictor makes it{meant}", field.name)
            }
        })
        .collect()
}

fn step(section: &PredictorSection, program: &ProgramSection) -> anyhow::Result<StepPlan> {
    let starts_well = section.name.starts_with(|letter: char| letter.is_alphabetic() || letter == '_');
    if !starts_well || !section.name.chars().all(|letter| letter.is_alphanumeric() || letter == '_') {
        bail!("`{}` is not a name: use letters, digits and _", section.name);
    }
    let plain = match (&section.signature, section.inputs.is_empty() && section.outputs.is_empty()) {
        (Some(text), true) => Signature::parse(text)?,
        (None, false) => {
            let fields = |list: &[FieldSection]| list.iter().map(field).collect::<anyhow::Result<Vec<_>>>();
            Signature::new(fields(&section.inputs)?, fields(&section.outputs)?, "")?
        }
        (Some(_), false) => bail!("give either `signature` or `inputs` and `outputs`, not both"),
        (None, true) => bail!(
            "give a `signature`, such as `signature = \"ticket -> department\"`, or `inputs` and `outputs`"
        ),
    };
    let mut sampling = Sampling::default();
    (sampling.temperature, sampling.max_tokens) = (section.temperature, section.max_tokens);
    Ok(StepPlan {
        name: section.name.clone(),
        signature: described(&plain, &section.descriptions, section.instruction.as_deref(), "predictor")?,
        reasoning: section.reasoning.unwrap_or(program.reasoning),
        format: section.format.or(program.format),
        sampling,
        model: section.model.clone(),
        agent: AgentPlan::of(&section.tools, &section.mcp, section.max_turns, program)?,
    })
}

pub(super) fn field(section: &FieldSection) -> anyhow::Result<Field> {
    let kind = match (&section.kind, &section.values) {
        (None, None) => FieldType::String,
        (_, Some(values)) if values.is_empty() => {
            bail!("the field `{}` has an empty list of `values`", section.name)
        }
        (None, Some(values)) => FieldType::literals(values.iter().cloned()),
        (Some(kind), Some(values)) if matches!(kind.trim(), "str" | "string" | "enum") => {
            FieldType::literals(values.iter().cloned())
        }
        (Some(kind), Some(_)) => {
            bail!(
                "the field `{}` has `values`, so its type cannot be `{kind}`: leave `type` out",
                section.name
            )
        }
        (Some(kind), None) => FieldType::parse(kind)
            .map_err(|reason| anyhow::anyhow!("the field `{}`: {reason}", section.name))?,
    };
    let kind = match &section.schema {
        Some(schema) => with_schema(section, kind, &Value::Object(schema.clone()))?,
        None => kind,
    };
    let field = Field::new(&section.name).typed(kind);
    Ok(match &section.description {
        Some(text) => field.described(text),
        None => field,
    })
}

/// The type with a schema for the objects in it.
fn with_schema(section: &FieldSection, kind: FieldType, schema: &Value) -> anyhow::Result<FieldType> {
    Ok(match kind {
        FieldType::String if section.kind.is_none() && section.values.is_none() => {
            FieldType::Object(schema.clone())
        }
        FieldType::Object(_) => FieldType::Object(schema.clone()),
        FieldType::List(item) => FieldType::list(with_schema(section, *item, schema)?),
        FieldType::Optional(item) => FieldType::optional(with_schema(section, *item, schema)?),
        other => bail!(
            "the field `{}` has a `schema`, so its type cannot be `{other}`: use object, list[object] or optional[object]",
            section.name
        ),
    })
}

fn described(
    plain: &Signature,
    descriptions: &BTreeMap<String, String>,
    instruction: Option<&str>,
    section: &str,
) -> anyhow::Result<Signature> {
    for name in descriptions.keys() {
        if plain.field(name).is_none() {
            let known: Vec<_> = plain.fields().map(|field| field.name.as_str()).collect();
            bail!("`{section}.descriptions` has `{name}`, but the signature has only {}", known.join(", "));
        }
    }
    let fields = |fields: &[Field]| {
        fields
            .iter()
            .cloned()
            .map(|field| match descriptions.get(&field.name) {
                Some(text) => field.described(text),
                None => field,
            })
            .collect::<Vec<_>>()
    };
    Ok(Signature::new(fields(plain.inputs()), fields(plain.outputs()), instruction.unwrap_or_default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint(text: &str) -> anyhow::Result<Blueprint> {
        Blueprint::of(&toml::from_str(text).unwrap())
    }

    const CHAIN: &str = r#"
        [[predictors]]
        name = "classify"
        signature = "ticket -> topic"
        [[predictors]]
        name = "answer"
        inputs = ["ticket", "topic"]
        outputs = [{ name = "reply", description = "to the customer" }, { name = "tone", values = ["kind", "firm"] }]
        instruction = "Answer."
    "#;

    #[test]
    fn a_chain_takes_what_nobody_makes_and_gives_what_the_last_makes() {
        let blueprint = blueprint(CHAIN).unwrap();
        assert_eq!(blueprint.signature.to_string(), "ticket: str -> reply: str, tone: enum[kind, firm]");
        assert_eq!(blueprint.steps[1].signature.instructions(), "Answer.");
        assert_eq!(blueprint.steps[1].signature.outputs()[0].description, "to the customer");
    }

    #[test]
    fn a_declared_signature_decides_what_is_judged() {
        let blueprint = blueprint(&format!("signature = \"ticket -> topic, reply\"\n{CHAIN}")).unwrap();
        assert_eq!(blueprint.signature.to_string(), "ticket: str -> topic: str, reply: str");
    }

    #[test]
    fn mistakes_in_a_chain_are_named() {
        let check = |from: &str, to: &str, parts: &[&str]| {
            let error = format!("{:#}", blueprint(&CHAIN.replacen(from, to, 1)).unwrap_err());
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
        };
        check("name = \"answer\"", "name = \"classify\"", &["two predictors are called `classify`"]);
        check(
            "ticket -> topic",
            "ticket, reply -> topic",
            &["`classify` takes `reply`", "put `answer` before it"],
        );
        check("\"reply\"", "\"topic\"", &["topic", "stands twice"]);
        check("ticket -> topic", "ticket -> topic, reply", &["both `classify` and `answer` make `reply`"]);
        check(
            "inputs = [\"ticket\", \"topic\"]",
            "inputs = [\"topic\"]\nsignature = \"a -> b\"",
            &["not both"],
        );
        check(
            "\n        [[pred",
            "\n        signature = \"tickets -> reply\"\n        [[pred",
            &["takes `ticket`", "did you mean `tickets`?"],
        );
        check(
            "\n        [[pred",
            "\n        signature = \"ticket -> replies\"\n        [[pred",
            &["gives `replies`", "did you mean `reply`?"],
        );
        check(
            "\n        [[pred",
            "\n        instruction = \"x\"\n        [[pred",
            &["`program.instruction` has no place"],
        );
        check("name = \"answer\"", "name = \"an answer\"", &["is not a name"]);
        check("values = [\"kind\", \"firm\"]", "type = \"text\"", &["field `tone`", "unknown type `text`"]);
    }

    #[test]
    fn reasoning_is_added_to_no_field_of_that_name() {
        for text in [
            "signature = \"reasoning -> a\"\nreasoning = true",
            "signature = \"q -> reasoning\"\nreasoning = true",
        ] {
            let error = blueprint(text).unwrap_err().to_string();
            assert!(error.contains("`reasoning = true` adds an output"), "{error}");
        }
        assert!(blueprint("signature = \"reasoning -> a\"").is_ok());
    }

    #[test]
    fn a_program_needs_a_signature() {
        assert!(blueprint("").unwrap_err().to_string().contains("needs a `signature`"));
    }
}
