//! An axis: from numbers to places along a line.

use crate::format;
use serde::Serialize;

/// A linear axis with round ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

/// A tick as a template draws it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Tick {
    /// Along the axis: a percentage where it runs across, pixels where it runs up.
    pub(crate) at: String,
    pub(crate) label: String,
}

/// Spread of scores from which on the whole of 0 to 1 is shown.
const WIDE: f64 = 0.35;

impl Axis {
    /// An axis for scores. Those between 0 and 1 stay there, and all of it is shown unless they lie
    /// close together.
    pub(crate) fn scores(values: impl IntoIterator<Item = f64>) -> Self {
        let Some((low, high)) = range(values) else { return Self::unit() };
        let in_unit = low >= 0.0 && high <= 1.0;
        if in_unit && (high - low > WIDE || high - low < 1e-9) {
            return Self::unit();
        }
        let margin = (high - low) * 0.08;
        let axis = Self::round(low - margin, high + margin, 5.0);
        if in_unit { Self { low: axis.low.max(0.0), high: axis.high.min(1.0), ..axis } } else { axis }
    }

    /// An axis for differences: 0 is always on it.
    pub(crate) fn differences(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = range(values.into_iter().chain([0.0])).unwrap_or((0.0, 0.0));
        let margin = (high - low).max(0.02) * 0.08;
        Self::round(low - margin, high + margin, 5.0)
    }

    /// An axis for counts, from 0.
    pub(crate) fn counts(most: u64) -> Self {
        let axis = Self::round(0.0, (most as f64).max(1.0), 5.0);
        // The data ends where it ends; only the ticks are round.
        Self { high: (most as f64).max(1.0), step: axis.step.max(1.0), ..axis }
    }

    fn unit() -> Self {
        Self { low: 0.0, high: 1.0, step: 0.25 }
    }

    fn round(low: f64, high: f64, ticks: f64) -> Self {
        let span = high - low;
        if !span.is_finite() || span <= 0.0 || span > 1e300 {
            return Self::unit();
        }
        let raw = span / ticks;
        let magnitude = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0].iter().map(|m| m * magnitude).find(|step| *step >= raw * 0.999);
        let step = step.unwrap_or(10.0 * magnitude);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    /// Where a number lies, from 0 to 1.
    pub(crate) fn fraction(&self, value: f64) -> f64 {
        let fraction = (value - self.low) / (self.high - self.low);
        if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let steps = ((self.high - self.low) / self.step + 1e-6).floor().clamp(0.0, 20.0) as u32;
        let axis = *self;
        (0..=steps).map(move |index| {
            let value = axis.low + axis.step * f64::from(index);
            (axis.fraction(value), axis.label(value))
        })
    }

    fn label(&self, value: f64) -> String {
        let value = if value.abs() < self.step * 1e-6 { 0.0 } else { value };
        if self.step >= 1.0 {
            let count = format::count(value.abs().min(1e18) as u64);
            return if value < 0.0 { format!("−{count}") } else { count };
        }
        // 0.25 takes one digit more than its magnitude, 0.2 does not.
        let mut decimals = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        let scaled = self.step * 10_f64.powi(i32::try_from(decimals).unwrap_or(0));
        if (scaled - scaled.round()).abs() > 1e-6 {
            decimals += 1;
        }
        let text = format!("{value:.decimals$}");
        text.strip_prefix('-').map_or(text.clone(), |digits| format!("−{digits}"))
    }

    /// The ticks of an axis that runs across.
    pub(crate) fn across(&self) -> Vec<Tick> {
        self.ticks().map(|(at, label)| Tick { at: format::percent(at), label }).collect()
    }

    /// The ticks of an axis that runs up over so many pixels.
    pub(crate) fn up(&self, height: f64) -> Vec<Tick> {
        self.ticks().map(|(at, label)| Tick { at: format::px((1.0 - at) * height), label }).collect()
    }

    /// A place on an axis that runs across.
    pub(crate) fn x(&self, value: f64) -> String {
        format::percent(self.fraction(value))
    }

    /// A place on an axis that runs up over so many pixels.
    pub(crate) fn y(&self, value: f64, height: f64) -> String {
        format::px((1.0 - self.fraction(value)) * height)
    }
}

fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.across().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn scores_between_0_and_1_stay_there() {
        assert_eq!(labels(Axis::scores([0.1, 0.9])), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(Axis::scores([])), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(Axis::scores([0.91, 0.99])), ["0.90", "0.92", "0.94", "0.96", "0.98", "1.00"]);
    }

    #[test]
    fn others_get_what_they_need() {
        assert_eq!(labels(Axis::scores([0.0, 40.0])), ["−10", "0", "10", "20", "30", "40", "50"]);
        assert_eq!(labels(Axis::differences([0.38, 0.53])), ["−0.2", "0.0", "0.2", "0.4", "0.6"]);
        assert_eq!(labels(Axis::counts(1000)), ["0", "200", "400", "600", "800", "1,000"]);
        assert_eq!(labels(Axis::counts(0)), ["0", "1"]);
    }

    #[test]
    fn nothing_breaks_it() {
        for values in [[f64::NAN, f64::INFINITY], [f64::MIN, f64::MAX], [0.0, 0.0], [1e-300, 2e-300]] {
            let axis = Axis::scores(values);
            assert!(axis.across().len() < 25, "{values:?}");
            for value in values {
                assert!((0.0..=1.0).contains(&axis.fraction(value)), "{values:?}");
            }
        }
        assert!(labels(Axis::counts(u64::MAX)).len() < 25);
    }
}
