//! The lineage: which candidate came from which.

use std::collections::BTreeSet;

use promptopt_core::Outcome;
use serde::Serialize;

use crate::candidates::{self, MAX_CANDIDATES};
use crate::format;
use crate::heat::Heat;
use crate::lineage_layout::{Place, places};

/// Distances between nodes, and from the edge, in pixels.
const LEVEL: f64 = 92.0;
const LINE: f64 = 34.0;
const MARGIN: f64 = 24.0;
/// Radius of a node.
const RADIUS: f64 = 12.0;

/// The tree of candidates.
#[derive(Debug, Serialize)]
pub(crate) struct Lineage {
    width: String,
    height: String,
    description: String,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    has_merges: bool,
    has_frontier: bool,
    has_partial: bool,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Node {
    index: usize,
    x: String,
    y: String,
    label_x: String,
    label_y: String,
    score: String,
    /// None where there is no score on the selection set.
    shade: Option<u8>,
    /// Whether the score is not from the whole selection set.
    partial: bool,
    winner: bool,
    on_frontier: bool,
    title: String,
}

#[derive(Debug, Serialize)]
struct Edge {
    path: String,
    /// From a second parent.
    merge: bool,
    /// On the way to the winner.
    winning: bool,
}

impl Lineage {
    pub(crate) fn of(outcome: &Outcome) -> Option<Self> {
        let shown = outcome.candidates.len().min(MAX_CANDIDATES);
        let parents: Vec<Vec<usize>> = (0..shown).map(|index| candidates::parents(outcome, index)).collect();
        if parents.iter().all(Vec::is_empty) {
            return None;
        }
        let main: Vec<Option<usize>> = parents.iter().map(|parents| parents.first().copied()).collect();
        let places = places(&main, outcome.best);
        let frontier: BTreeSet<usize> = outcome.frontier.iter().copied().collect();
        let scores = |index: usize| candidates::evidence(outcome, index).map(|(mean, _)| mean);
        let heat = Heat::over((0..shown).filter_map(scores));
        let winning = ancestry(&main, outcome.best);

        let node = |(index, place): (usize, &Place)| {
            let (x, y) = at(*place);
            Node {
                index,
                x: format::px(x),
                y: format::px(y),
                label_x: format::px(x + RADIUS + 6.0),
                label_y: format::px(y + 4.0),
                score: format::maybe_score(scores(index)),
                shade: scores(index).map(|score| heat.shade(score)),
                partial: outcome.candidates.get(index).is_none_or(|candidate| candidate.score.is_none()),
                winner: index == outcome.best,
                on_frontier: frontier.contains(&index),
                title: title(outcome, index, &parents, frontier.contains(&index)),
            }
        };
        let edges = parents.iter().enumerate().flat_map(|(child, parents)| {
            parents.iter().enumerate().map(move |(rank, parent)| (child, *parent, rank > 0))
        });
        let edge = |(child, parent, merge): (usize, usize, bool)| {
            let (from, to) = (places.get(parent)?, places.get(child)?);
            let winning = !merge && winning.contains(&child) && winning.contains(&parent);
            Some(Edge { path: path(at(*from), at(*to), merge), merge, winning })
        };
        let edges: Vec<Edge> = edges.filter_map(edge).collect();
        let nodes: Vec<Node> = places.iter().enumerate().map(node).collect();
        let depth = places.iter().map(|place| place.depth).max().unwrap_or(0);
        let line = places.iter().map(|place| place.line).max().unwrap_or(0);
        let mut description = format!(
            "{} in {}.",
            format::counted(shown as u64, "candidate", "candidates"),
            format::counted(depth as u64 + 1, "generation", "generations"),
        );
        if outcome.best < shown {
            let steps = format::counted(winning.len().saturating_sub(1) as u64, "step", "steps");
            description.push_str(&format!(
                " Candidate {} won, after {steps}; the top line is the way to it.",
                outcome.best
            ));
        }
        Some(Self {
            width: format::px(MARGIN * 2.0 + LEVEL * depth as f64 + 64.0),
            height: format::px(MARGIN * 2.0 + LINE * line as f64),
            description,
            has_partial: nodes.iter().any(|node| node.partial),
            nodes,
            has_merges: edges.iter().any(|edge| edge.merge),
            has_frontier: !frontier.is_empty(),
            edges,
            note: candidates::note(outcome.candidates.len()),
        })
    }
}

fn at(place: Place) -> (f64, f64) {
    (MARGIN + LEVEL * place.depth as f64, MARGIN + LINE * place.line as f64)
}

/// A node and those it came from.
fn ancestry(main: &[Option<usize>], node: usize) -> BTreeSet<usize> {
    std::iter::successors(Some(node), |node| main.get(*node).copied().flatten().filter(|above| above < node))
        .collect()
}

/// Down from the parent, then across to the child; from a second parent in a curve.
fn path((x1, y1): (f64, f64), (x2, y2): (f64, f64), merge: bool) -> String {
    let px = format::px;
    if merge {
        let middle = (x1 + x2) / 2.0;
        return format!(
            "M{} {}C{} {} {} {} {} {}",
            px(x1),
            px(y1),
            px(middle),
            px(y1),
            px(middle),
            px(y2),
            px(x2),
            px(y2)
        );
    }
    if y1 == y2 {
        return format!("M{} {}H{}", px(x1), px(y1), px(x2));
    }
    let corner = 8.0;
    format!(
        "M{} {}V{}Q{} {} {} {}H{}",
        px(x1),
        px(y1),
        px(y2 - corner),
        px(x1),
        px(y2),
        px(x1 + corner),
        px(y2),
        px(x2)
    )
}

fn title(outcome: &Outcome, index: usize, parents: &[Vec<usize>], on_frontier: bool) -> String {
    let mut parts = vec![format!("Candidate {index}")];
    if index == outcome.best {
        parts.push("the winner".to_owned());
    }
    match candidates::evidence(outcome, index) {
        Some((mean, n)) => parts.push(format!(
            "{} over {}",
            format::score(mean),
            format::counted(n as u64, "selection example", "selection examples")
        )),
        None => parts.push("no score on the selection set".to_owned()),
    }
    parts.extend(outcome.candidates.get(index).map(|candidate| candidates::origin(&candidate.origin)));
    let parents = parents.get(index).map(Vec::as_slice).unwrap_or_default();
    if !parents.is_empty() {
        let names: Vec<_> = parents.iter().map(usize::to_string).collect();
        parts.push(format!("from {}", names.join(" and ")));
    }
    if on_frontier {
        parts.push("on the Pareto frontier".to_owned());
    }
    if let Some(scores) = outcome.scores.get(index).filter(|scores| scores.calls_at_discovery > 0) {
        parts.push(format!("found at {}", format::counted(scores.calls_at_discovery, "call", "calls")));
    }
    parts.join(" · ")
}
