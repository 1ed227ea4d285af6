//! Figures in few characters.

use promptopt_core::money::Money;

/// So many of something.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A count in four characters or so.
pub(crate) fn short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

/// A time from now, rounded up.
pub(crate) fn time(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

/// An amount to the cent, and below a dime to a hundredth of it, rounded up.
pub(crate) fn money(amount: Money) -> String {
    let nanos = amount.as_nanos();
    let unit = if nanos < 100_000_000 { 100_000 } else { 10_000_000 };
    Money::from_nanos(nanos.div_ceil(unit).saturating_mul(unit)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(
            (short(9_999), short(25_400), short(1_234_567)),
            ("9999".into(), "25k".into(), "1.2M".into())
        );
        assert_eq!((time(1.2), time(150.0), time(7000.0)), ("2 s".into(), "3 min".into(), "2 h".into()));
        let shown = |text: &str| money(text.parse().unwrap());
        assert_eq!(
            (shown("0"), shown("0.00001"), shown("1.231")),
            ("$0.00".into(), "$0.0001".into(), "$1.24".into())
        );
    }
}
