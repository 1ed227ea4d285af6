//! Numbers as people read them.

/// What stands where there is no number.
pub(crate) const NONE: &str = "–";

/// A score, such as `0.873`.
pub(crate) fn score(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let text = if value.abs() < 1e6 { format!("{value:.3}") } else { format!("{value:.3e}") };
    // A hyphen is shorter than the digits are wide, and -0.000 is 0.000.
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) => format!("−{digits}"),
        Some(digits) => digits.to_owned(),
        None => text,
    }
}

/// A score that may be missing.
pub(crate) fn maybe_score(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), score)
}

/// Writes a value by a function of this module, and what is not there as [`NONE`].
pub(crate) fn or_none<T>(write: fn(T) -> String) -> impl Fn(Option<T>) -> String {
    move |value| value.map_or_else(|| NONE.to_owned(), write)
}

/// What to say when not all are shown.
pub(crate) fn first_of(shown: usize, all: usize, what: &str) -> Option<String> {
    let counts = || (count(shown as u64), count(all as u64));
    (all > shown).then(counts).map(|(shown, all)| format!("The first {shown} of {all} {what} are shown."))
}

/// A difference, always with its sign.
pub(crate) fn difference(value: f64) -> String {
    let text = score(value);
    let positive = value > 0.0 && text != "0.000";
    if positive { format!("+{text}") } else { text }
}

/// `from … to …` of two texts.
pub(crate) fn interval(low: String, high: String) -> String {
    format!("{low} to {high}")
}

/// A confidence level, such as `95 %`.
pub(crate) fn level(level: f64) -> String {
    if !level.is_finite() {
        return NONE.to_owned();
    }
    let percent = format!("{:.1}", level * 100.0);
    format!("{}\u{a0}%", percent.strip_suffix(".0").unwrap_or(&percent))
}

/// A p-value with its sign of relation, such as `p = 0.0412` or `p < 0.0001`.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.0001 { "p\u{a0}<\u{a0}0.0001".to_owned() } else { format!("p\u{a0}=\u{a0}{p:.4}") }
}

/// A count with its thousands apart.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun.
pub(crate) fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// A length of time.
pub(crate) fn seconds(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return NONE.to_owned();
    }
    match value {
        v if v < 10.0 => format!("{v:.1}\u{a0}s"),
        v if v < 120.0 => format!("{v:.0}\u{a0}s"),
        v if v < 7200.0 => {
            format!("{:.0}\u{a0}min\u{a0}{:02.0}\u{a0}s", (v / 60.0).floor(), (v % 60.0).floor())
        }
        v => format!("{:.1}\u{a0}h", v / 3600.0),
    }
}

/// An amount of money in US dollars.
pub(crate) fn money(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    if value.abs() < 1.0 { format!("${value:.4}") } else { format!("${value:.2}") }
}

/// A coordinate.
pub(crate) fn px(value: f64) -> String {
    let text = format!("{:.1}", if value.is_finite() { value } else { 0.0 });
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A place along an axis, as a percentage of its length.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.2}%", if fraction.is_finite() { fraction * 100.0 } else { 0.0 })
}

/// A word with a capital letter in front.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_and_differences() {
        assert_eq!(score(0.8735), "0.874");
        assert_eq!(score(-0.25), "−0.250");
        assert_eq!(score(-0.0001), "0.000");
        assert_eq!(score(f64::NAN), NONE);
        assert_eq!(score(12_345_678.0), "1.235e7");
        assert_eq!(difference(0.25), "+0.250");
        assert_eq!(difference(0.0001), "0.000");
        assert_eq!(difference(-0.25), "−0.250");
    }

    #[test]
    fn counts_times_and_money() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "call", "calls"), "1 call");
        assert_eq!(seconds(3.21), "3.2\u{a0}s");
        assert_eq!(seconds(125.9), "2\u{a0}min\u{a0}05\u{a0}s");
        assert_eq!(seconds(9000.0), "2.5\u{a0}h");
        assert_eq!(money(0.1234), "$0.1234");
        assert_eq!(money(12.345), "$12.35");
    }

    #[test]
    fn levels_p_values_and_places() {
        assert_eq!(level(0.95), "95\u{a0}%");
        assert_eq!(level(0.995), "99.5\u{a0}%");
        assert_eq!(p_value(0.0412), "p\u{a0}=\u{a0}0.0412");
        assert_eq!(p_value(0.0), "p\u{a0}<\u{a0}0.0001");
        assert_eq!(px(3.0), "3");
        assert_eq!(percent(0.5), "50.00%");
        assert_eq!(capitalised("sealed test"), "Sealed test");
    }
}
