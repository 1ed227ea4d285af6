//! Scores as shades.

/// A range of scores, in ten shades.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Heat {
    low: f64,
    high: f64,
}

impl Heat {
    /// Shades over the scores that there are. Equal scores get one in the middle.
    pub(crate) fn over(scores: impl IntoIterator<Item = f64>) -> Self {
        let finite = scores.into_iter().filter(|score| score.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), score| (low.min(score), high.max(score)));
        Self { low, high }
    }

    /// The shade of a score, from 0 to 9.
    pub(crate) fn shade(&self, score: f64) -> u8 {
        let fraction = (score - self.low) / (self.high - self.low);
        if fraction.is_finite() { (fraction.clamp(0.0, 1.0) * 9.0).round() as u8 } else { 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_go_from_0_to_9() {
        let heat = Heat::over([0.25, f64::NAN, 0.75]);
        assert_eq!([0.25, 0.5, 0.75, 5.0, -5.0].map(|score| heat.shade(score)), [0, 5, 9, 9, 0]);
        assert_eq!(Heat::over([]).shade(0.5), 4);
        assert_eq!(Heat::over([0.5]).shade(0.5), 4);
    }
}
