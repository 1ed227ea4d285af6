//! What the figures were taken on.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Cores, processor, memory and day. No names of hosts.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// Cores that this process may use.
    cores: usize,
    /// The processor's model.
    processor: String,
    /// Memory in GiB, rounded.
    memory_gib: u64,
    /// Processes that want a core, averaged over the last minute.
    load: f64,
    /// The day in UTC, `YYYY-MM-DD`.
    date: String,
}

impl Machine {
    /// This machine, now.
    pub(crate) fn of_this_run() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (cpu, memory, load) = (read("/proc/cpuinfo"), read("/proc/meminfo"), read("/proc/loadavg"));
        let kib = value_of(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: value_of(&cpu, "model name").unwrap_or("an unknown processor").to_owned(),
            memory_gib: kib.unwrap_or_default().div_ceil(1024 * 1024),
            load: load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default(),
            date: today(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, memory_gib, load, date } = self;
        write!(f, "{date}, {cores} cores of {processor}, {memory_gib} GiB, load {load:.1}")
    }
}

fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// Year, month and day of a number of days after 1970-01-01.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (index, length) in lengths.into_iter().enumerate() {
        if days < length {
            return (year, index + 1, days + 1);
        }
        days -= length;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_through_leap_years() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_453), (2025, 12, 31));
    }

    #[test]
    fn a_value_stands_behind_its_name() {
        assert_eq!(value_of("MemTotal:  24576 kB\nMemFree: 1 kB", "MemTotal"), Some("24576 kB"));
        assert_eq!(value_of("", "MemTotal"), None);
    }
}
