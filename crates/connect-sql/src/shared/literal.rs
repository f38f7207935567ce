//! Values that are compared with columns, in the forms that servers read without
//! guessing. What is in another form is left to the engine.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// A plain decimal with no more places than the column has.
pub fn fits_scale(text: &str, scale: i8) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    (1..=38).contains(&whole.len())
        && plain(whole)
        && plain(fraction)
        && fraction.len() <= usize::try_from(scale).unwrap_or(0)
}

/// A date as `2024-12-31`, as it stands.
pub fn date(text: &str) -> Option<String> {
    let parsed = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (text.len() == 10 && parsed.to_string() == text).then(|| text.to_owned())
}

/// A date, or a time of a day up to microseconds, as `2024-12-31 23:59:59.000000`.
pub fn timestamp(text: &str) -> Option<String> {
    if let Some(date) = date(text) {
        return Some(format!("{date} 00:00:00"));
    }
    let parsed = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    let whole = parsed.and_utc().timestamp_subsec_nanos();
    // A leap second has more than 10^9 nanoseconds.
    let exact =
        whole % 1_000 == 0 && whole < 1_000_000_000 && text.as_bytes().get(4) == Some(&b'-');
    exact.then(|| parsed.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
}

/// An instant up to microseconds, in UTC, as `2024-12-31 23:59:59.000000`; one without
/// an offset is in UTC.
pub fn instant(text: &str) -> Option<String> {
    if let Some(text) = timestamp(text) {
        return Some(text);
    }
    let parsed = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    let nanos = parsed.timestamp_subsec_nanos();
    let exact = nanos % 1_000 == 0
        && nanos < 1_000_000_000
        && (1..=9999).contains(&chrono::Datelike::year(&parsed));
    exact.then(|| parsed.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
}

/// A number that a double holds, neither `NaN` nor infinite nor `-0`.
pub fn double(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let is_plain = value.is_finite() && !(value == 0.0 && value.is_sign_negative());
    is_plain.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_forms_are_taken() {
        assert_eq!(date("2024-02-29").as_deref(), Some("2024-02-29"));
        assert!(date("2024-02-30").is_none() && date("2024-2-3").is_none());
        let at = Some("2024-01-02 03:04:05.500000".to_owned());
        assert_eq!(timestamp("2024-01-02T03:04:05.5"), at);
        assert_eq!(instant("2024-01-02T04:04:05.5+01:00"), at);
        assert!(timestamp("2024-01-02 03:04:05.0000001").is_none());
        assert!(fits_scale("-1.25", 2) && !fits_scale("1.255", 2) && !fits_scale("1e3", 2));
        assert!(double("-0.0").is_none() && double("1e999").is_none());
    }
}
