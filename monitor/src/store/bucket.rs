//! Buckets: the intervals of time into which the store sums packets.

use jiff::Timestamp;

/// Length of a bucket in seconds.
pub(super) const SECONDS: i64 = 300;

/// Number of buckets in an hour, which is the span of a merged bucket.
pub(super) const PER_HOUR: i64 = 12;

/// Number of buckets in a day.
pub(super) const PER_DAY: i64 = 24 * PER_HOUR;

/// Returns the number of the bucket that contains a time. Bucket 0 begins at
/// 1970-01-01T00:00:00Z.
pub(super) fn of(time: Timestamp) -> i64 {
    seconds(time).div_euclid(SECONDS)
}

/// Returns the second that contains a time.
pub(super) fn seconds(time: Timestamp) -> i64 {
    time.as_millisecond().div_euclid(1000)
}

/// Returns the begin of a bucket, in seconds since 1970-01-01T00:00:00Z.
pub(super) fn start(bucket: i64) -> i64 {
    bucket.saturating_mul(SECONDS)
}

/// Returns the first bucket of the hour that contains a bucket.
pub(super) fn hour(bucket: i64) -> i64 {
    bucket.div_euclid(PER_HOUR).saturating_mul(PER_HOUR)
}

/// Returns the number of the day (UTC) that contains a bucket.
pub(super) fn day(bucket: i64) -> i64 {
    bucket.div_euclid(PER_DAY)
}

/// Returns the time of a number of milliseconds, or `None` if the number is outside the
/// range of times.
pub(super) fn from_milliseconds(number: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(number).ok()
}

/// Returns the time of a number of seconds, or `None` if the number is outside the range
/// of times.
pub(super) fn from_seconds(number: i64) -> Option<Timestamp> {
    Timestamp::from_second(number).ok()
}
