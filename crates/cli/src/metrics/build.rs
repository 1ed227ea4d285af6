//! From what the task file says to a metric.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::Metric;
use promptopt_core::signature::Signature;

use super::command::CommandMetric;
use super::fields::FieldMetric;
use super::judge::{Judge, SimulatedJudge};
use super::rule::Rule;
use super::weighted::{Objective, Weighted};
use crate::task_file::{MetricKind, MetricSection, nearest};
use crate::user_command::{UserCommand, check_variables};

/// Whether any metric compares with what the data expects.
pub(crate) fn needs_labels(sections: &[MetricSection]) -> bool {
    let bare_pattern = |section: &MetricSection| {
        let rule = Rule::of(section).ok().flatten();
        rule.is_some_and(|rule| !rule.needs_label())
    };
    sections.is_empty() || sections.iter().any(|one| one.kind.needs_labels() && !bare_pattern(one))
}

/// The metric of a task. `judges` holds one model for each section that asks for a judge, in order;
/// `None` stands for a simulated one.
pub(crate) fn build(
    sections: &[MetricSection],
    signature: &Signature,
    folder: &Path,
    judges: Vec<Option<Arc<dyn LanguageModel>>>,
) -> anyhow::Result<Box<dyn Metric>> {
    let mut judges = judges.into_iter();
    let default = [MetricSection::default()];
    let sections = if sections.is_empty() { &default } else { sections };
    let mut objectives = Vec::new();
    for section in sections {
        let fields = fields(section, signature)?;
        let name = section.name.clone().unwrap_or_else(|| match &section.field {
            Some(field) => format!("{} of {field}", section.kind.name()),
            None => section.kind.name().to_owned(),
        });
        let metric: Box<dyn Metric> = match Rule::of(section)? {
            Some(rule) => Box::new(FieldMetric { rule, fields }),
            None if section.kind == MetricKind::Judge => match judges.next().flatten() {
                Some(model) => {
                    let rubric = section.rubric.as_deref().unwrap_or_default();
                    Box::new(Judge::new(rubric, model, fields, signature.inputs())?)
                }
                None => Box::new(SimulatedJudge { fields }),
            },
            None => {
                let command = section.command.as_deref().unwrap_or_default();
                let handed_on = section.env.as_deref().unwrap_or_default();
                check_variables("metric.", handed_on)?;
                Box::new(CommandMetric::new(UserCommand::new(
                    "metric.",
                    command,
                    folder,
                    section.timeout,
                    handed_on,
                )?))
            }
        };
        objectives.push(Objective { name, weight: section.weight.unwrap_or(1.0), metric });
    }
    if objectives.iter().map(|objective| objective.weight).sum::<f64>() <= 0.0 {
        bail!(
            "the weights of the metrics are all 0, so there is no score: give at least one a weight above 0"
        );
    }
    let mut names = HashSet::new();
    if let Some(twice) = objectives.iter().find(|objective| !names.insert(objective.name.clone())) {
        bail!("two metrics are called `{}`: give each a `name` of its own", twice.name);
    }
    match objectives.len() {
        1 => objectives.pop().map(|objective| objective.metric).context("there is no metric"),
        _ => Ok(Box::new(Weighted(objectives))),
    }
}

/// The outputs that a metric judges.
fn fields(section: &MetricSection, signature: &Signature) -> anyhow::Result<Vec<String>> {
    let outputs: Vec<String> = signature.outputs().iter().map(|field| field.name.clone()).collect();
    match &section.field {
        None => Ok(outputs),
        Some(field) if outputs.contains(field) => Ok(vec![field.clone()]),
        Some(field) => {
            let meant = nearest(field, outputs.iter().map(String::as_str))
                .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            bail!("`metric.field` is `{field}`, but the outputs are {}{meant}", outputs.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use promptopt_core::data::{Example, Prediction, Score};
    use promptopt_core::lm::{LmError, lm_fn};
    use promptopt_core::program::CallContext;

    use super::*;

    fn metric(text: &str, folder: &Path) -> anyhow::Result<Box<dyn Metric>> {
        #[derive(serde::Deserialize)]
        struct Sections {
            #[serde(default)]
            metric: Vec<MetricSection>,
        }
        let sections: Sections = toml::from_str(text).unwrap();
        build(&sections.metric, &Signature::parse("q -> a, b").unwrap(), folder, vec![None])
    }

    async fn score(metric: &dyn Metric, a: &str) -> anyhow::Result<Score> {
        let example = Example::new([("q", "?"), ("a", "x y"), ("b", "z")], ["q"]);
        let nobody = lm_fn("nobody", |_| async { Err(LmError::Cancelled) });
        let context = CallContext::new(Arc::new(nobody));
        metric.score(&context, &example, &Prediction::from_iter([("a", a), ("b", "z")])).await
    }

    #[tokio::test]
    async fn without_a_section_all_outputs_are_compared() {
        let metric = metric("", Path::new("")).unwrap();
        let wrong = score(&*metric, "no").await.unwrap();
        assert!((wrong.value - 0.5).abs() < 1e-9);
        assert_eq!(wrong.feedback.as_deref(), Some("a: expected `x y`, got `no`"));
        assert_eq!(score(&*metric, "x y").await.unwrap().feedback.as_deref(), Some("right"));
    }

    #[tokio::test]
    async fn several_metrics_are_objectives_of_a_weighted_mean() {
        let text = "[[metric]]\nkind = \"exact\"\nfield = \"a\"\nweight = 3\n[[metric]]\nkind = \"f1\"\nfield = \"a\"\nname = \"words\"";
        let metric = metric(text, Path::new("")).unwrap();
        let score = score(&*metric, "x").await.unwrap();
        assert!((score.objectives["words"] - 2.0 / 3.0).abs() < 1e-9);
        assert!((score.objectives["exact of a"]).abs() < 1e-9);
        assert!((score.value - (2.0 / 3.0) / 4.0).abs() < 1e-9);
        assert!(score.feedback.unwrap().contains("words: expected `x y`, got `x`; missing words: y"));
    }

    #[test]
    fn metrics_that_cannot_be_are_refused() {
        let check = |text: &str, says: &str| {
            let error = format!("{:#}", metric(text, Path::new("")).err().unwrap());
            assert!(error.contains(says), "{error}");
        };
        check("[[metric]]\nfield = \"c\"", "the outputs are a, b");
        check("[[metric]]\nweight = 0", "at least one a weight above 0");
        check("[[metric]]\n[[metric]]", "two metrics are called `exact`");
        check("[[metric]]\nkind = \"command\"\ncommand = []", "is empty");
        check(
            "[[metric]]\nkind = \"command\"\ncommand = [\"judge\"]\nenv = [\"NO_SUCH_VARIABLE\"]",
            "`metric.env` names the variable NO_SUCH_VARIABLE, which is not set",
        );
        for timeout in ["0", "-1", "nan", "inf", "1e300"] {
            let section = "[[metric]]\nkind = \"command\"\ncommand = [\"judge\"]\ntimeout = ";
            check(&format!("{section}{timeout}"), "`metric.timeout` must be a number of seconds above 0");
        }
    }

    fn command(folder: &Path, script: &str, timeout: f64) -> Box<dyn Metric> {
        std::fs::write(folder.join("metric.py"), script).unwrap();
        let text = format!(
            "[[metric]]\nkind = \"command\"\ncommand = [\"python3\", \"-u\", \"metric.py\"]\ntimeout = {timeout}"
        );
        metric(&text, folder).unwrap()
    }

    #[tokio::test]
    async fn a_python_script_judges_many_at_once_and_stays_alive() {
        let folder = tempfile::tempdir().unwrap();
        // It answers in pairs, the second question first, so answers must find their questions by id.
        let script = "import json, sys\nheld = []\nfor line in sys.stdin:\n    q = json.loads(line)\n    held.append({'id': q['id'], 'score': 1.0 if q['prediction']['a'] == q['example']['a'] else 0.25, 'feedback': 'got ' + q['prediction']['a'], 'objectives': {'seen': float(q['id'])}})\n    if len(held) == 2:\n        for answer in reversed(held):\n            print(json.dumps(answer))\n        held = []\n";
        let metric = command(folder.path(), script, 20.0);
        for _ in 0..2 {
            let (right, wrong) = tokio::join!(score(&*metric, "x y"), score(&*metric, "no"));
            let (right, wrong) = (right.unwrap(), wrong.unwrap());
            assert_eq!((right.value, wrong.value), (1.0, 0.25));
            assert_eq!(wrong.feedback.as_deref(), Some("got no"));
            assert!(wrong.objectives["seen"] > 1.0);
        }
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let says = |script: &'static str, parts: &'static [&'static str]| {
            let folder = folder.path().to_owned();
            async move {
                let metric = command(&folder, script, 3.0);
                let error = format!("{:#}", score(&*metric, "x").await.unwrap_err());
                for part in parts {
                    assert!(error.contains(part), "{error}");
                }
            }
        };
        says(
            "import sys\nsys.stdin.readline()\nraise ValueError('no such rubric')",
            &["metric.py", "process ended", "ValueError: no such rubric"],
        )
        .await;
        says("print('hello')\nimport time\ntime.sleep(60)", &["no answer", "hello", "standard error"]).await;
        says("import time\ntime.sleep(60)", &["no answer within 3 s"]).await;
        says("import sys, json\nfor l in sys.stdin:\n    print(json.dumps({'id': json.loads(l)['id'], 'error': 'bad label'}))", &["says: bad label"]).await;
        says(
            "import sys, json\nfor l in sys.stdin:\n    print(json.dumps({'id': json.loads(l)['id']}))",
            &["without a `score`"],
        )
        .await;
        let missing = UserCommand::new("metric.", &["no-such-program".to_owned()], folder.path(), None, &[]);
        let missing = CommandMetric::new(missing.unwrap());
        let error = format!("{:#}", score(&missing, "x").await.unwrap_err());
        assert!(error.contains("is the program installed?"), "{error}");
    }

    #[tokio::test]
    async fn one_bad_answer_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let bad = [
            "print('{\"id\": %d, \"score\": NaN}' % q['id'])",
            "print(json.dumps({'id': q['id'], 'score': 1e308}))",
            "print(json.dumps({'id': q['id'], 'score': '1'}))",
            "print(json.dumps({'id': q['id']}))",
            "print('{\"id\": %d, \"score\"' % q['id'])",
            "print(json.dumps({'id': q['id'] + 1000, 'score': 1}))",
            "pass",
            "raise ValueError('no such label')",
            "print('a stray line')",
        ];
        for bad in bad {
            let script = format!(
                "import json, sys\nfor line in sys.stdin:\n    q = json.loads(line)\n    if q['prediction']['a'] == 'bad':\n        {bad}\n    else:\n        print(json.dumps({{'id': q['id'], 'score': 1}}))\n"
            );
            let metric = command(folder.path(), &script, 3.0);
            let ask = |row| score(&*metric, row);
            let scores = tokio::join!(ask("1"), ask("2"), ask("bad"), ask("3"), ask("4"));
            let scores = [scores.0, scores.1, scores.2, scores.3, scores.4];
            for (row, score) in scores.iter().enumerate() {
                assert_eq!(score.is_ok(), row != 2, "{bad}: row {row}: {score:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_command_that_ended_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let script = "import json, sys\nq = json.loads(sys.stdin.readline())\nprint(json.dumps({'id': q['id'], 'score': 1}))\n";
        let metric = command(folder.path(), script, 20.0);
        assert!(score(&*metric, "x").await.is_ok());
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(score(&*metric, "x").await.is_ok());
    }
}
