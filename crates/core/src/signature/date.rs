//! Days and moments as ISO 8601 writes them.

/// Whether a text is a day: `2026-11-27`.
pub(super) fn is_day(text: &str) -> bool {
    day(text).is_some_and(str::is_empty)
}

/// Whether a text is a day with a time of day: `2026-11-27T10:30:00+01:00`. Seconds, their fraction and the zone may be
/// missing.
pub(super) fn is_moment(text: &str) -> bool {
    moment(text).is_some_and(str::is_empty)
}

/// The day of a text that is a day, or a moment at midnight, as a column of dates often is.
pub(super) fn day_of(text: &str) -> Option<&str> {
    let text = text.trim();
    let (day, time) = text.split_at_checked(10)?;
    let is_midnight = || time.get(1..).is_some_and(|time| time.bytes().all(|it| b"0:.Z+".contains(&it)));
    (is_day(day) && (time.is_empty() || is_moment(&written(text)) && is_midnight())).then_some(day)
}

/// The moment of a text that is one, also with a space between day and time.
pub(super) fn moment_of(text: &str) -> Option<String> {
    Some(written(text.trim())).filter(|text| is_moment(text))
}

fn written(text: &str) -> String {
    match text.split_once([' ', 't']) {
        Some((day, time)) => format!("{day}T{time}"),
        None => text.to_owned(),
    }
}

/// What is behind a day.
fn day(text: &str) -> Option<&str> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&day).then_some(rest)
}

/// What is behind a moment.
fn moment(text: &str) -> Option<&str> {
    let rest = clock(day(text)?.strip_prefix('T')?)?;
    let rest = match rest.strip_prefix(':') {
        Some(seconds) => digits(seconds, 2).filter(|(seconds, _)| *seconds < 60)?.1,
        None => rest,
    };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let behind = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            Some(behind).filter(|behind| behind.len() < fraction.len())?
        }
        None => rest,
    };
    match rest.strip_prefix(['+', '-']) {
        Some(zone) => clock(zone),
        None => Some(rest.strip_prefix('Z').unwrap_or(rest)),
    }
}

/// What is behind hours and minutes.
fn clock(text: &str) -> Option<&str> {
    let (hours, rest) = digits(text, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (hours < 24 && minutes < 60).then_some(rest)
}

/// A number of so many digits, and what is behind it.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(count)?;
    let all = digits.bytes().all(|digit| digit.is_ascii_digit());
    Some((digits.parse().ok().filter(|_| all)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_days_of_the_calendar() {
        for day in ["2026-11-27", "2024-02-29", "2000-02-29", "0001-01-01"] {
            assert!(is_day(day), "{day}");
        }
        for day in
            ["2026-2-3", "2026-02-29", "1900-02-29", "2026-13-01", "2026-04-31", "27.11.2026", "+026-01-01"]
        {
            assert!(!is_day(day), "{day}");
        }
    }

    #[test]
    fn moments_have_a_time_and_may_have_a_zone() {
        for moment in [
            "2026-11-27T10:30",
            "2026-11-27T10:30:00",
            "2026-11-27T10:30:00.25Z",
            "2026-11-27T23:59:59-07:30",
        ] {
            assert!(is_moment(moment), "{moment}");
        }
        for moment in
            ["2026-11-27", "2026-11-27T24:00", "2026-11-27T10:30:", "2026-11-27T10:30:00.", "T10:30"]
        {
            assert!(!is_moment(moment), "{moment}");
        }
        assert_eq!(moment_of(" 2026-11-27 10:30 ").as_deref(), Some("2026-11-27T10:30"));
        assert_eq!(day_of("2026-11-27 00:00:00"), Some("2026-11-27"));
        assert_eq!(day_of("2026-11-27T00:00:00Z"), Some("2026-11-27"));
        assert_eq!(day_of("2026-11-27T10:30"), None);
        assert_eq!(day_of("2026-11-27x"), None);
    }
}
