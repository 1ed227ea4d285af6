//! CPU time of this process, over all its threads, in user and in system mode.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time since the process began.
pub(crate) fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// CPU time in microseconds since `before`, for each of `count`.
pub(crate) fn micros_each(before: Duration, count: usize) -> f64 {
    (spent() - before).as_secs_f64() * 1e6 / count.max(1) as f64
}
