//! What the run cost, by stage and by role.

use promptopt_core::Usage;
use serde::Serialize;

use crate::{Report, StageCost, format, text};

/// At most this many stages are listed.
const MAX_STAGES: usize = 50;

/// The table of costs.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    stages: Vec<Row>,
    roles: Vec<Row>,
    has_money: bool,
    has_time: bool,
    reused: String,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    calls: String,
    read: String,
    written: String,
    seconds: String,
    money: String,
}

impl Cost {
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let spending = &report.outcome.spending;
        if report.stages.is_empty() && spending.total() == Usage::default() {
            return None;
        }
        let roles =
            [("Task model", spending.task), ("Prompt model", spending.prompt), ("Both", spending.total())];
        Some(Self {
            stages: report.stages.iter().take(MAX_STAGES).map(stage).collect(),
            roles: roles.into_iter().map(|(name, usage)| role(name, usage)).collect(),
            has_money: report.stages.iter().any(|stage| stage.money.is_some()),
            has_time: report.stages.iter().any(|stage| stage.seconds.is_some()),
            reused: format::counted(spending.reused_rollouts, "rollout", "rollouts"),
        })
    }
}

fn stage(cost: &StageCost) -> Row {
    Row {
        name: text::name(&cost.stage),
        calls: format::count(cost.calls),
        read: format::count(cost.prompt_tokens),
        written: format::count(cost.completion_tokens),
        seconds: cost.seconds.map_or(format::NONE.to_owned(), format::seconds),
        money: cost.money.map_or(format::NONE.to_owned(), format::money),
    }
}

fn role(name: &str, usage: Usage) -> Row {
    stage(&StageCost {
        stage: name.to_owned(),
        calls: usage.calls,
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        ..StageCost::default()
    })
}
