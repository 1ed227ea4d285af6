//! Which token comes next: the likeliest one, or a draw that can be repeated.

use promptopt_core::data::ContentHash;
use promptopt_core::lm::LmRequest;

/// Tokens are drawn from those that are at least so likely as a part of the likeliest one, before the temperature counts
/// (min-p, Nguyen et al. 2024; llama.cpp's default). At a temperature above 1 a small model writes no sentence without.
pub(super) const LEAST_LIKELY: f64 = 0.05;

/// Chooses tokens for one completion. Draws depend on the seed alone, never on timing.
#[derive(Debug)]
pub(super) struct Picker {
    temperature: f64,
    top_p: f64,
    seed: ContentHash,
    step: u64,
}

impl Picker {
    /// The picker for completion number `index` of `request`.
    pub(super) fn new(request: &LmRequest, index: u32, temperature: f64, seed: u64) -> Self {
        let sampling = &request.sampling;
        let seed = ContentHash::of(&(
            request,
            sampling.temperature.unwrap_or(temperature),
            sampling.seed.unwrap_or(seed),
            index,
        ));
        Self {
            temperature: sampling.temperature.unwrap_or(temperature),
            top_p: sampling.top_p.unwrap_or(1.0),
            seed,
            step: 0,
        }
    }

    /// Whether every completion of the request is the same.
    pub(super) fn is_greedy(&self) -> bool {
        self.temperature.is_nan() || self.temperature <= 0.0
    }

    /// The index of the token to take, given one logit per token of the vocabulary.
    pub(super) fn pick(&mut self, logits: &[f32]) -> usize {
        let best = argmax(logits);
        if self.is_greedy() {
            return best;
        }
        let top = logits.get(best).copied().map_or(0.0, f64::from);
        let least = top + LEAST_LIKELY.ln();
        let mut weights: Vec<(usize, f64)> = logits
            .iter()
            .enumerate()
            .filter(|(_, logit)| f64::from(**logit) >= least)
            .map(|(token, logit)| (token, ((f64::from(*logit) - top) / self.temperature).exp()))
            .filter(|(_, weight)| *weight > 1e-12)
            .collect();
        if self.top_p < 1.0 {
            weights.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
            let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
            let mut sum = 0.0;
            let kept = weights
                .iter()
                .take_while(|(_, weight)| {
                    let before = sum;
                    sum += weight;
                    before < self.top_p * total
                })
                .count();
            weights.truncate(kept.max(1));
        }
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut left = self.draw() * total;
        for (token, weight) in &weights {
            left -= weight;
            if left < 0.0 {
                return *token;
            }
        }
        weights.last().map_or(best, |(token, _)| *token)
    }

    /// The next draw, uniform in [0, 1).
    fn draw(&mut self) -> f64 {
        let hash = ContentHash::of(&(&self.seed, self.step));
        self.step += 1;
        let bytes = hash.as_bytes();
        let bits = bytes.iter().take(7).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte)) >> 3;
        bits as f64 / (1_u64 << 53) as f64
    }
}

/// The first of the largest.
fn argmax(logits: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, logit) in logits.iter().enumerate() {
        if *logit > best.1 {
            best = (token, *logit);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{Message, Sampling};

    use super::*;

    fn request(temperature: f64, top_p: Option<f64>, sample_index: u64) -> LmRequest {
        let mut request = LmRequest::new(vec![Message::user("x")]);
        request.sampling = Sampling::default().with_temperature(temperature);
        request.sampling.top_p = top_p;
        request.sample_index = sample_index;
        request
    }

    fn draws(request: &LmRequest, index: u32, logits: &[f32]) -> Vec<usize> {
        let mut picker = Picker::new(request, index, 0.0, 0);
        (0..200).map(|_| picker.pick(logits)).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let mut picker = Picker::new(&LmRequest::default(), 0, 0.0, 0);
        assert!(picker.is_greedy());
        assert_eq!(picker.pick(&[0.0, 2.0, 2.0, f32::NAN]), 1);
        assert_eq!(picker.pick(&[]), 0);
    }

    #[test]
    fn draws_repeat_and_differ_by_index_and_sample() {
        let logits = [0.0, 0.5, 1.0];
        let first = draws(&request(1.0, None, 0), 0, &logits);
        assert_eq!(first, draws(&request(1.0, None, 0), 0, &logits));
        assert_ne!(first, draws(&request(1.0, None, 0), 1, &logits));
        assert_ne!(first, draws(&request(1.0, None, 1), 0, &logits));
        for token in 0..3 {
            assert!(first.contains(&token), "{token} never drawn");
        }
    }

    #[test]
    fn a_small_nucleus_leaves_the_best_alone() {
        assert!(draws(&request(1.0, Some(0.1), 0), 0, &[0.0, 0.5, 1.0]).iter().all(|token| *token == 2));
    }
}
