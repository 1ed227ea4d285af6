//! The lineage: which candidate came from which.

use std::collections::BTreeSet;

use promptopt_run::Outcome;
use serde::Serialize;

use crate::candidates::{self, MAX_CANDIDATES};
use crate::heat::Heat;
use crate::lineage_layout::{Place, ancestry, places};
use crate::{format, frontier};

/// Distances between nodes, and from the edge, in pixels.
const LEVEL: f64 = 92.0;
const LINE: f64 = 34.0;
const MARGIN: f64 = 24.0;

/// The tree of candidates.
#[derive(Debug, Serialize)]
pub(crate) struct Lineage {
    width: String,
    height: String,
    generations: usize,
    /// The winner, where it is drawn.
    winner: Option<usize>,
    /// Steps from a root to the winner.
    steps: usize,
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
    x: f64,
    y: f64,
    score: Option<f64>,
    /// None where there is no score on the selection set.
    shade: Option<u8>,
    /// Whether the score is not from the whole selection set.
    partial: bool,
    winner: bool,
    on_frontier: bool,
    /// Selection examples behind the score.
    examples: usize,
    origin: Option<String>,
    parents: Vec<usize>,
    /// Calls spent when it was found; 0 where that is not known.
    found_at: u64,
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
        let winning = ancestry(&main, outcome.best);
        let places = places(&main, outcome.best);
        let frontier: BTreeSet<usize> = frontier::members(outcome).into_iter().collect();
        let scores = |index: usize| candidates::evidence(outcome, index).map(|(mean, _)| mean);
        let heat = Heat::over((0..shown).filter_map(scores));

        let node = |(index, place): (usize, &Place)| {
            let (x, y) = at(*place);
            Node {
                index,
                x,
                y,
                score: scores(index),
                shade: scores(index).map(|score| heat.shade(score)),
                partial: outcome.candidates.get(index).is_none_or(|candidate| candidate.score.is_none()),
                winner: index == outcome.best,
                on_frontier: frontier.contains(&index),
                examples: candidates::evidence(outcome, index).map_or(0, |(_, n)| n),
                origin: outcome.candidates.get(index).map(|candidate| candidates::origin(&candidate.origin)),
                parents: candidates::parents(outcome, index),
                found_at: outcome.scores.get(index).map_or(0, |scores| scores.calls_at_discovery),
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
        Some(Self {
            width: format::px(MARGIN * 2.0 + LEVEL * depth as f64 + 64.0),
            height: format::px(MARGIN * 2.0 + LINE * line as f64),
            generations: depth + 1,
            winner: (outcome.best < shown).then_some(outcome.best),
            steps: winning.len().saturating_sub(1),
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

/// Down from the parent, then across to the child; from a second parent in a curve.
fn path((x1, y1): (f64, f64), (x2, y2): (f64, f64), merge: bool) -> String {
    let px = format::px;
    let point = |x, y| format!("{} {}", px(x), px(y));
    if merge {
        let middle = (x1 + x2) / 2.0;
        return format!("M{}C{} {} {}", point(x1, y1), point(middle, y1), point(middle, y2), point(x2, y2));
    }
    if y1 == y2 {
        return format!("M{}H{}", point(x1, y1), px(x2));
    }
    let corner = 8.0;
    let (turn, end) = (point(x1, y2), point(x1 + corner, y2));
    format!("M{}V{}Q{turn} {end}H{}", point(x1, y1), px(y2 - corner), px(x2))
}
