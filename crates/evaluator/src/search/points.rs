//! Which points of the space are tried next.

use rand::seq::SliceRandom as _;

use super::Search;
use crate::{Choice, Tpe};

/// Spaces up to this size are searched point by point; larger ones by drawing points.
const MAX_ENUMERATED: usize = 4096;

impl Search<'_, '_> {
    /// The next group of trials: candidates, and the examples each is to be tried on.
    pub(super) fn choose(&mut self, group: usize, minibatch: &[usize]) -> Vec<(usize, Vec<usize>)> {
        let mut chosen: Vec<(usize, Vec<usize>)> = Vec::new();
        while chosen.len() < group {
            let Some(choice) = self.next_point() else { break };
            let known = self.board.candidates().len();
            let candidate = self.board.enter(self.space.candidate(&choice));
            self.points.insert(choice, candidate);
            // Other indices may make the same prompts; those need no second look.
            if candidate == known {
                chosen.push((candidate, minibatch.to_vec()));
            }
        }
        // Where the space is used up, the promising ones are looked at more closely.
        while chosen.len() < group {
            let taken: Vec<usize> = chosen.iter().map(|(candidate, _)| *candidate).collect();
            let Some(candidate) = self.leader(&taken) else { break };
            let open = self.board.open(candidate);
            let more = open.into_iter().take(minibatch.len()).collect();
            chosen.push((candidate, more));
        }
        chosen
    }

    /// A point that was not tried: first such that every option is seen once, then where TPE
    /// points to.
    fn next_point(&mut self) -> Option<Choice> {
        let tried = |choice: &Choice| self.points.contains_key(choice);
        let size = self.space.size();
        let mut open: Vec<Choice> = if size <= MAX_ENUMERATED {
            (0..size).map(|number| self.space.point(number)).filter(|choice| !tried(choice)).collect()
        } else {
            let mut drawn: Vec<Choice> =
                (0..MAX_ENUMERATED / 8).map(|_| self.space.draw(&mut self.rng)).collect();
            drawn.sort();
            drawn.dedup();
            drawn.into_iter().filter(|choice| !self.points.contains_key(choice)).collect()
        };
        let options = self.space.options();
        let mut unseen: Vec<Vec<bool>> = options.iter().map(|count| vec![true; *count]).collect();
        for point in self.points.keys() {
            for (option, unseen) in point.flat().into_iter().zip(&mut unseen) {
                unseen.get_mut(option).into_iter().for_each(|unseen| *unseen = false);
            }
        }
        let news = |choice: &Choice| {
            let flat = choice.flat();
            flat.iter().zip(&unseen).filter(|(option, unseen)| unseen.get(**option) == Some(&true)).count()
        };
        open.shuffle(&mut self.rng);
        let most = open.iter().map(news).max()?;
        if most > 0 {
            return open.into_iter().find(|choice| news(choice) == most);
        }
        let prior = self.prior();
        let observations: Vec<(Vec<usize>, f64)> = self
            .points
            .iter()
            .map(|(point, candidate)| (point.flat(), self.shrunk(*candidate, prior)))
            .collect();
        let flat: Vec<Vec<usize>> = open.iter().map(Choice::flat).collect();
        let pick = Tpe::default().suggest(&options, &observations, &flat, &mut self.rng)?;
        open.get(pick).cloned()
    }
}
