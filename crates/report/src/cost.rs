//! What the run cost, by stage and by role.

use promptopt_core::money::Usage;
use serde::Serialize;

use crate::{Report, StageCost, format, text};

/// At most this many stages are listed.
const MAX_STAGES: usize = 50;

/// The table of costs.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    stages: Vec<StageCost>,
    roles: Vec<StageCost>,
    has_money: bool,
    has_time: bool,
    reused: String,
}

impl Cost {
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let spending = &report.outcome.spending;
        if report.stages.is_empty() && spending.total() == Usage::default() {
            return None;
        }
        let stage = |cost: &StageCost| StageCost { stage: text::name(&cost.stage), ..*cost };
        let role = |(name, usage): (&str, Usage)| StageCost::new(name, usage);
        let roles =
            [("Task model", spending.task), ("Prompt model", spending.prompt), ("Both", spending.total())];
        Some(Self {
            stages: report.stages.iter().take(MAX_STAGES).map(stage).collect(),
            roles: roles.into_iter().map(role).collect(),
            has_money: report.stages.iter().any(|stage| stage.money.is_some()),
            has_time: report.stages.iter().any(|stage| stage.seconds.is_some()),
            reused: format::counted(spending.reused_rollouts, "rollout", "rollouts"),
        })
    }
}
