//! Arrow's dates and timestamps as microseconds in UTC and back, rounding down
//! on both sides of 1970, and as ISO 8601 text.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    ArrowPrimitiveType, ArrowTimestampType, DataType, Date32Type, Date64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use crate::calendar::{DAY, SECOND, civil, push_two};

/// Microseconds of a day.
pub const DAY_MICROS: i64 = DAY * SECOND;

fn scaled<T: ArrowPrimitiveType<Native = i64>>(
    array: &dyn Array,
    factor: i64,
) -> TimestampMicrosecondArray {
    let array = array.as_primitive::<T>();
    array.unary_opt(|value| value.checked_mul(factor))
}

/// The moments in UTC of a date or a timestamp of any unit and zone; dates are
/// their midnight, what lies beyond 64 bits is null. `None` for other types.
pub fn micros_of(array: &dyn Array) -> Option<TimestampMicrosecondArray> {
    Some(match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            array.as_primitive::<TimestampMicrosecondType>().clone()
        }
        DataType::Timestamp(TimeUnit::Second, _) => scaled::<TimestampSecondType>(array, SECOND),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled::<TimestampMillisecondType>(array, 1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            scaled::<TimestampMicrosecondType>(array, 1)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => array
            .as_primitive::<TimestampNanosecondType>()
            .unary(|value| value.div_euclid(1_000)),
        DataType::Date32 => array
            .as_primitive::<Date32Type>()
            .unary_opt(|value| i64::from(value).checked_mul(DAY_MICROS)),
        DataType::Date64 => scaled::<Date64Type>(array, 1_000),
        _ => return None,
    })
}

/// The days on which the moments lie, in UTC; null where a day has no number of
/// 32 bits.
pub fn days_of(moments: &TimestampMicrosecondArray) -> PrimitiveArray<Date32Type> {
    moments.unary_opt(|value| i32::try_from(value.div_euclid(DAY_MICROS)).ok())
}

/// Writes `2024-02-29`; years that have not four digits carry a sign.
pub fn write_day(day: i64, out: &mut String) {
    let (year, month, day) = civil(day);
    match u32::try_from(year) {
        Ok(year @ 0..=9999) => {
            push_two(year / 100, out);
            push_two(year, out);
        }
        _ => {
            // Writing to a string cannot fail.
            let _ = write!(out, "{year:+05}");
        }
    }
    out.push('-');
    push_two(month, out);
    out.push('-');
    push_two(day, out);
}

/// Writes a count of `per` a second as `23:59:59.250`, with three, six or nine
/// decimals, as many as are needed.
pub fn write_clock(value: i64, per: i64, out: &mut String) {
    let (seconds, part) = (value.div_euclid(per), value.rem_euclid(per));
    match u32::try_from(seconds) {
        Ok(seconds @ 0..360_000) => {
            push_two(seconds / 3_600, out);
            out.push(':');
            push_two(seconds / 60 % 60, out);
            out.push(':');
            push_two(seconds % 60, out);
        }
        _ => {
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            let _ = write!(out, "{hours:02}:{minutes:02}:{:02}", seconds % 60);
        }
    }
    let nanos = part * (1_000_000_000 / per);
    let _ = match nanos {
        0 => Ok(()),
        n if n % 1_000_000 == 0 => write!(out, ".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => write!(out, ".{:06}", n / 1_000),
        n => write!(out, ".{n:09}"),
    };
}

/// How many of a unit make a second.
pub fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => SECOND,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Writes `2024-02-29T12:00:00.500`, with `Z` behind it where `is_zoned`.
pub fn write_moment(value: i64, unit: TimeUnit, is_zoned: bool, out: &mut String) {
    let per = per_second(unit);
    let (day, time) = (value.div_euclid(per * DAY), value.rem_euclid(per * DAY));
    write_day(day, out);
    out.push('T');
    write_clock(time, per, out);
    if is_zoned {
        out.push('Z');
    }
}

/// The raw counts of a timestamp of any unit, with its unit and whether it has a zone.
pub fn counts(array: &ArrayRef) -> Option<(arrow::array::Int64Array, TimeUnit, bool)> {
    let DataType::Timestamp(unit, zone) = array.data_type() else {
        return None;
    };
    let raw = match unit {
        TimeUnit::Second => raw::<TimestampSecondType>(array),
        TimeUnit::Millisecond => raw::<TimestampMillisecondType>(array),
        TimeUnit::Microsecond => raw::<TimestampMicrosecondType>(array),
        TimeUnit::Nanosecond => raw::<TimestampNanosecondType>(array),
    };
    Some((raw, *unit, zone.is_some()))
}

fn raw<T: ArrowTimestampType>(array: &ArrayRef) -> arrow::array::Int64Array {
    array.as_primitive::<T>().reinterpret_cast()
}

/// A timestamp array as it goes into a column.
pub fn column(moments: TimestampMicrosecondArray) -> ArrayRef {
    Arc::new(moments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Date64Array, TimestampNanosecondArray, TimestampSecondArray};

    #[test]
    fn moments_before_1970_round_down() {
        let array = TimestampNanosecondArray::from(vec![-1, 0, 1, 999, 1_000]);
        let micros = micros_of(&array).unwrap();
        assert_eq!(micros.values(), &[-1, 0, 0, 0, 1]);
        assert_eq!(days_of(&micros).values(), &[-1, 0, 0, 0, 0]);
        let array = Date64Array::from(vec![-1, 86_400_000]);
        assert_eq!(days_of(&micros_of(&array).unwrap()).values(), &[-1, 1]);
    }

    #[test]
    fn what_is_beyond_64_bits_is_null() {
        let array = TimestampSecondArray::from(vec![i64::MAX, 1]);
        assert_eq!(
            micros_of(&array).unwrap(),
            TimestampMicrosecondArray::from(vec![None, Some(SECOND)])
        );
        let array = Date32Array::from(vec![i32::MIN, 1, i32::MAX]);
        let days = days_of(&micros_of(&array).unwrap());
        assert_eq!(days, Date32Array::from(vec![None, Some(1), None]));
    }

    #[test]
    fn moments_are_written_as_iso() {
        let shown = |value, unit, zone| {
            let mut out = String::new();
            write_moment(value, unit, zone, &mut out);
            out
        };
        assert_eq!(shown(0, TimeUnit::Second, false), "1970-01-01T00:00:00");
        assert_eq!(
            shown(-1, TimeUnit::Microsecond, true),
            "1969-12-31T23:59:59.999999Z"
        );
        assert_eq!(
            shown(1_500, TimeUnit::Millisecond, false),
            "1970-01-01T00:00:01.500"
        );
        assert_eq!(
            shown(-62_135_596_800, TimeUnit::Second, false),
            "0001-01-01T00:00:00"
        );
        assert_eq!(
            shown(i64::MAX, TimeUnit::Microsecond, false),
            "+294247-01-10T04:00:54.775807"
        );
        let _ = (
            shown(i64::MIN, TimeUnit::Second, true),
            shown(i64::MAX, TimeUnit::Nanosecond, true),
        );
    }
}
