//! Which points of the space are tried next.

use std::collections::BTreeSet;

use promptopt_run::Run;
use rand::seq::SliceRandom as _;

use super::Search;
use crate::Choice;
use crate::play_off::shrunk_mean;
use crate::tpe::Tpe;

/// Of spaces up to this size every point is looked at for each trial; of larger ones so many are drawn.
const MAX_ENUMERATED: usize = 512;
/// Where drawing finds nothing new, spaces up to this size are looked at point by point.
const MAX_LISTED: usize = 4096;
/// TPE's densities may be older than the last trial by one part in so many of all that happened.
const STALE: usize = 200;

impl Search {
    /// The next group of trials: candidates, and the examples each is to be tried on.
    pub(super) fn choose(
        &mut self,
        run: &mut Run<'_>,
        group: usize,
        minibatch: &[usize],
    ) -> Vec<(usize, Vec<usize>)> {
        let mut chosen: Vec<(usize, Vec<usize>)> = Vec::new();
        while chosen.len() < group {
            let Some(choice) = self.next_point(run) else { break };
            let known = run.board().candidates().len();
            let candidate = run.enter(self.space.candidate(&choice));
            self.note_point(choice, candidate);
            // Other indices may make the same prompts; those need no second look.
            if candidate == known {
                chosen.push((candidate, minibatch.to_vec()));
            }
        }
        // Where the space is used up, the promising ones are looked at more closely.
        let prior = self.prior(run);
        while chosen.len() < group {
            let taken: Vec<usize> = chosen.iter().map(|(candidate, _)| *candidate).collect();
            let Some(candidate) = self.leader(run, &taken, prior) else { break };
            let open = run.board().open(candidate);
            let more = open.into_iter().take(minibatch.len()).collect();
            chosen.push((candidate, more));
        }
        chosen
    }

    /// A point that was not tried: first such that every option is seen once, with instructions of the same number
    /// together, then where TPE points to.
    fn next_point(&mut self, run: &Run<'_>) -> Option<Choice> {
        let mut open = self.open_points();
        let news = |choice: &Choice| {
            let unseen = |(option, seen): &(usize, &BTreeSet<usize>)| !seen.contains(option);
            choice.flat().into_iter().zip(&self.seen).filter(unseen).count()
        };
        open.shuffle(&mut self.rng);
        let most = open.iter().map(news).max()?;
        if most > 0 {
            let newest = open.into_iter().filter(|choice| news(choice) == most);
            return newest.max_by_key(Choice::matching);
        }
        let flat: Vec<Vec<usize>> = open.iter().map(Choice::flat).collect();
        self.refit(run);
        let (_, densities) = self.densities.as_ref()?;
        let pick = Tpe::default().suggest_by(densities, &self.space.options(), &flat, &mut self.rng)?;
        open.get(pick).cloned()
    }

    /// Points that were not tried, to choose from.
    fn open_points(&mut self) -> Vec<Choice> {
        let size = self.space.size();
        if size > MAX_ENUMERATED {
            let mut drawn: Vec<Choice> =
                (0..MAX_ENUMERATED).map(|_| self.space.draw(&mut self.rng)).collect();
            drawn.extend(self.space.draw_matching(&mut self.rng));
            drawn.sort();
            drawn.dedup();
            drawn.retain(|choice| !self.points.contains_key(choice));
            // Of a space that is nearly used up, drawing may miss what is left.
            if !drawn.is_empty() || size > MAX_LISTED {
                return drawn;
            }
        }
        (0..size)
            .map(|number| self.space.point(number))
            .filter(|one| !self.points.contains_key(one))
            .collect()
    }

    /// Makes TPE's densities anew once half a percent more has happened than when they were made: what a
    /// trial takes does not grow with the number of trials, and up to about a hundred trials they are
    /// always new.
    fn refit(&mut self, run: &Run<'_>) {
        let happened = self.points.len() + self.happened;
        if self.densities.as_ref().is_some_and(|(then, _)| happened <= then + then / STALE) {
            return;
        }
        let prior = self.prior(run);
        let observations: Vec<(Vec<usize>, f64)> = self
            .points
            .iter()
            .map(|(point, candidate)| (point.flat(), shrunk_mean(run, *candidate, prior)))
            .collect();
        self.densities = Some((happened, Tpe::default().fit(&observations)));
    }

    /// Notes which candidate is at a point.
    pub(super) fn note_point(&mut self, point: Choice, candidate: usize) {
        for (seen, option) in self.seen.iter_mut().zip(point.flat()) {
            seen.insert(option);
        }
        self.points.insert(point, candidate);
    }
}
