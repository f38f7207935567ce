//! The statistics of a column, once all its values were counted.

use arrow::datatypes::DataType;
use serde_json::{Map, Value, json};
use weir_core::Result;
use weir_values::ColumnKind;
use weir_values::detect::Detected;
use weir_values::instants::DAY_MICROS;
use weir_values::missing::Runs;
use weir_values::moments::Moments;
use weir_values::sketch::{Distinct, Quantiles};

use super::column::Column;
use super::groups::{Frequent, Groups, Kept};
use super::ranked::{Micros, Ranked, of_box};
use super::second::{Far, Fences, Histogram, Second, Timeline};
use super::shown::{Show, decimal, digits, float, instant, power};
use super::tally::{Counted, Tally};
use crate::steps::Env;

/// Values that a distribution shows.
const SHOWN: usize = 20;

/// Validity from which on the quality of a column is good.
const GOOD: f64 = 0.8;

/// A column whose values were counted.
pub(super) struct Finished {
    pub(super) name: String,
    pub(super) detected: Detected,
    pub(super) runs: Runs,
    pub(super) distinct: u64,
    pub(super) invalid: u64,
    pub(super) mean: Option<f64>,
    pub(super) std: Option<f64>,
    pub(super) skew: Option<f64>,
    pub(super) mode_ratio: Option<f64>,
    /// The range of moments, in microseconds.
    pub(super) dates: Option<(i64, i64)>,
    pub(super) statistics: Map<String, Value>,
    /// What is an estimate, and how far off it may be.
    pub(super) estimates: Map<String, Value>,
    pub(super) second: Second,
}

/// Memory and place in which columns are finished.
pub(super) struct Room<'a> {
    /// Bytes that tables may take.
    pub(super) most: usize,
    pub(super) env: &'a Env,
}

struct Finishing<'a> {
    map: Map<String, Value>,
    estimates: Map<String, Value>,
    room: &'a Room<'a>,
}

/// A share of `all`; 0 of nothing.
pub(super) fn share(part: u64, all: u64) -> f64 {
    match all {
        0 => 0.0,
        all => part as f64 / all as f64,
    }
}

impl Column {
    /// Its statistics.
    pub(super) async fn finish(mut self, room: &Room<'_>) -> Result<Finished> {
        let ranks = self.ranks();
        let show = Show::new(self.tally.data_type(), self.scale)?
            .whole(self.is_mixed() && self.read.kind == ColumnKind::Number);
        let groups = Groups::with(std::mem::take(&mut self.parts));
        let invalid =
            std::mem::replace(&mut self.invalid.tally, Tally::new(&DataType::Utf8, false)?);
        let tally = std::mem::replace(&mut self.tally, Tally::new(&DataType::Utf8, false)?);
        let counted = tally.finish(groups, ranks, room.most, room.env).await?;
        let plain = || Groups::default();
        let invalid = invalid
            .finish(plain(), Vec::new(), room.most, room.env)
            .await?;
        let mut to = Finishing {
            map: Map::new(),
            estimates: Map::new(),
            room,
        };
        let distinct = counted.distinct + if self.is_mixed() { invalid.distinct } else { 0 };
        let mut mode = to.general(&self, &show, &counted, &invalid, distinct);
        let mut second = Second {
            index: self.read.index,
            ..Second::default()
        };
        let mut parts = counted.groups.parts;
        let mut dates = None;
        let ranked = Ranked {
            keys: counted.ranked,
            is_estimate: counted.lost.is_some(),
        };
        if self.moments.is_some() {
            let (show, ranked) = match parts.numbers.take() {
                None => (show, ranked),
                Some(numbers) => to.written_numbers(numbers).await?,
            };
            to.numbers(&self, &show, &ranked, &mut second);
        } else if self.read.kind == ColumnKind::Datetime {
            dates = match parts.moments.take() {
                Some(moments) => {
                    let found = to.written_dates(moments).await?;
                    if let Some((value, count)) = found.mode {
                        mode = Some((value, count));
                    }
                    found.range
                }
                None => to.dates(&show, &counted.groups.range, &ranked, self.micros_per_key()),
            };
        }
        to.texts(&mut parts).await?;
        to.lists(&mut parts).await?;
        let mode_ratio = to.mode(mode, self.runs.rows);
        to.quality(&self, &invalid);
        let moments = self.moments.as_ref();
        let per = self.scale.map_or(1.0, power);
        Ok(Finished {
            name: self.read.name,
            detected: self.detected,
            runs: self.runs,
            distinct,
            invalid: self.invalid.count,
            mean: moments.and_then(Moments::mean).map(|mean| mean / per),
            std: moments
                .and_then(|moments| moments.std(1))
                .map(|std| std / per),
            skew: moments.and_then(Moments::skew),
            mode_ratio,
            dates,
            statistics: to.map,
            estimates: to.estimates,
            second,
        })
    }

    /// Which places of the sorted values are wanted.
    fn ranks(&self) -> Vec<u64> {
        let count = self.tally.total();
        let is_number = self.moments.is_some() && self.parts.numbers.is_none();
        let is_date = self.read.kind == ColumnKind::Datetime && self.micros_per_key().is_some();
        match count {
            0 => Vec::new(),
            _ if is_number && self.wide.is_some() => {
                let mut ranks = of_box(count).to_vec();
                ranks.extend([0, count - 1]);
                ranks
            }
            _ if is_number => of_box(count).to_vec(),
            _ if is_date => vec![count / 2],
            _ => Vec::new(),
        }
    }

    /// How keys of dates become microseconds.
    fn micros_per_key(&self) -> Option<Micros> {
        use arrow::datatypes::TimeUnit;
        Some(match &self.data_type {
            DataType::Date32 => Micros::Times(DAY_MICROS),
            DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => Micros::Times(1000),
            DataType::Timestamp(TimeUnit::Second, _) => Micros::Times(1_000_000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Micros::Times(1),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Micros::Parts(1000),
            _ => return None,
        })
    }
}

struct Dates {
    range: Option<(i64, i64)>,
    mode: Option<(Value, u64)>,
}

impl Finishing<'_> {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.map.insert(name.to_owned(), value.into());
    }

    fn estimated(&mut self, names: &[&str], error: &Value) {
        for name in names {
            self.estimates.insert((*name).to_owned(), error.clone());
        }
    }

    /// Statistics that every column has; tells the most frequent value and how
    /// often it is there.
    fn general(
        &mut self,
        column: &Column,
        show: &Show,
        counted: &Counted,
        invalid: &Counted,
        distinct: u64,
    ) -> Option<(Value, u64)> {
        let runs = &column.runs;
        self.set("count", runs.count());
        self.set("count_distinct", distinct);
        self.set("null_value_count", runs.missing);
        self.set("null_value_rate", runs.rate());
        self.set("unique_value_rate", share(distinct, runs.rows).min(1.0));
        let mut top = labelled(&counted.groups.top, show);
        let texts = Show::new(&DataType::Utf8, None).ok();
        let mut mode = counted
            .groups
            .mode
            .as_ref()
            .map(|mode| (show.key(mode.key.key()), mode.count));
        if let (true, Some(texts)) = (column.is_mixed(), &texts) {
            let others = labelled(&invalid.groups.top, texts);
            let is_behind = |count: u64| move |other: &(String, u64)| other.1 >= count;
            for (name, count) in others {
                let place = top.partition_point(is_behind(count));
                top.insert(place, (name, count));
            }
            top.truncate(SHOWN);
            if let Some(other) = &invalid.groups.mode
                && mode.as_ref().is_none_or(|(_, count)| other.count > *count)
            {
                mode = Some((texts.key(other.key.key()), other.count));
            }
        }
        self.set("value_counts", object(top));
        self.set("max_null_seq", runs.longest);
        if let Some(lost) = counted.lost {
            let error = json!({"relative_standard_error": Distinct::ERROR});
            self.estimated(&["count_distinct", "unique_value_rate"], &error);
            let error = json!({"counts_too_low_by_at_most": lost.0});
            self.estimated(&["value_counts", "mode", "mode_ratio"], &error);
        }
        mode
    }

    fn mode(&mut self, mode: Option<(Value, u64)>, rows: u64) -> Option<f64> {
        let ratio = mode.as_ref().map(|(_, count)| share(*count, rows));
        self.set("mode", mode.map_or(Value::Null, |(value, _)| value));
        self.set("mode_ratio", float(ratio));
        ratio
    }

    fn quality(&mut self, column: &Column, invalid: &Counted) {
        let found = &column.invalid;
        let rows = column.runs.rows;
        let rate = share(found.count, rows);
        self.set("invalid_value_count", found.count);
        self.set("invalid_value_rate", rate);
        self.set("invalid_values", found.values.clone());
        self.set("invalid_indices", found.places.clone());
        let distribution = Show::new(&DataType::Utf8, None)
            .map(|show| labelled(&invalid.groups.top, &show))
            .unwrap_or_default();
        self.set("invalid_value_distribution", object(distribution));
        let present = match rows {
            0 => 1.0,
            rows => share(column.runs.count(), rows),
        };
        let validity = match rows {
            0 => 1.0,
            rows => share(
                column.runs.count() - found.count.min(column.runs.count()),
                rows,
            ),
        };
        self.set("completeness", present);
        self.set("validity", validity);
        self.set("quality", if validity >= GOOD { "Good" } else { "Bad" });
    }

    /// Of texts that are numbers.
    async fn written_numbers(&mut self, numbers: Tally) -> Result<(Show, Ranked)> {
        let show = Show::new(numbers.data_type(), None)?;
        let ranks = match numbers.total() {
            0 => Vec::new(),
            count => of_box(count).to_vec(),
        };
        let (most, env) = (self.room.most, self.room.env);
        let counted = numbers.finish(Groups::default(), ranks, most, env).await?;
        let ranked = Ranked {
            is_estimate: counted.lost.is_some(),
            keys: counted.ranked,
        };
        Ok((show, ranked))
    }

    fn numbers(&mut self, column: &Column, show: &Show, ranked: &Ranked, second: &mut Second) {
        let Some(moments) = &column.moments else {
            return;
        };
        let per = column.scale.map_or(1.0, power);
        let scaled = |value: Option<f64>| value.map(|value| value / per);
        let whole = |value: i128| match column.scale {
            Some(scale) => decimal(value, scale),
            None => digits(&value.to_string()),
        };
        let (mean, std) = (scaled(moments.mean()), scaled(moments.std(1)));
        self.set("average", float(mean));
        let sum = match (column.wide, moments.whole_sum()) {
            (Some(Some(sum)), _) if moments.count() > 0 => wide(sum, &column.data_type),
            (_, Some(sum)) => whole(sum),
            _ if moments.count() == 0 => json!(0),
            _ => float(moments.sum()),
        };
        self.set("sum", sum);
        let at = |at: usize| {
            ranked
                .at(at)
                .map_or(Value::Null, |kept| show.key(kept.key()))
        };
        let (min, max) = match moments.whole_range() {
            _ if column.wide.is_some() && !ranked.is_estimate => (at(4), at(5)),
            Some((min, max)) => (whole(min), whole(max)),
            None => (float(moments.min()), float(moments.max())),
        };
        self.set("min", min);
        self.set("max", max);
        let median = match (ranked.at(2), ranked.at(3)) {
            (Some(Kept::Fixed(low)), Some(Kept::Fixed(high))) => show.middle(*low, *high),
            (Some(low), Some(high)) if low == high => show.key(low.key()),
            (Some(_), Some(_)) => {
                let part = |place: usize| at(place).as_f64().unwrap_or_default() / 2.0;
                float(part(2) + part(3))
            }
            _ => Value::Null,
        };
        self.set("median", median);
        self.set("std", float(std));
        self.set("skew", float(moments.skew()));
        if let (Some(min), Some(max)) = (scaled(moments.min()), scaled(moments.max())) {
            let is_whole = column.read.kind == ColumnKind::Number && min.fract() == 0.0;
            second.histogram = Some(Histogram::new(min, max, is_whole));
        }
        second.far = Far::new(mean, std);
        if let (Some(q1), Some(q3)) = (at(0).as_f64(), at(1).as_f64()) {
            second.fences = Some(Fences::new(q1, q3));
        }
        // What the second look finds goes in between.
        for name in ["outlier_count", "outlier_ratio"] {
            self.set(name, 0);
        }
        self.set("outlier_ratio", 0.0);
        self.set("outliers", Vec::<Value>::new());
        self.set(
            "box_plot",
            json!({
                "min": null, "first_quartile": at(0), "median": self.map.get("median"),
                "third_quartile": at(1), "max": null, "outliers": [],
            }),
        );
        self.set("histogram", Vec::<Value>::new());
        if ranked.is_estimate {
            let error = json!({"rank_error": Quantiles::ERROR});
            self.estimated(&["median", "box_plot"], &error);
        }
    }

    /// Of dates that are stored as such.
    fn dates(
        &mut self,
        show: &Show,
        range: &Option<(u64, u64)>,
        ranked: &Ranked,
        micros: Option<Micros>,
    ) -> Option<(i64, i64)> {
        let micros = micros?;
        let Some((min, max)) = range else {
            for name in ["min", "max", "median"] {
                self.set(name, Value::Null);
            }
            return None;
        };
        self.set("min", show.number(*min));
        self.set("max", show.number(*max));
        let median = ranked
            .at(0)
            .map_or(Value::Null, |kept| show.key(kept.key()));
        self.set("median", median);
        if ranked.is_estimate {
            let error = json!({"rank_error": Quantiles::ERROR});
            self.estimated(&["min", "max", "median"], &error);
        }
        Some((micros.of(*min)?, micros.of(*max)?))
    }

    /// Of dates that are written as text.
    async fn written_dates(&mut self, moments: Tally) -> Result<Dates> {
        let (most, env) = (self.room.most, self.room.env);
        let ranks = match moments.total() {
            0 => Vec::new(),
            count => vec![count / 2],
        };
        let counted = moments.finish(Groups::default(), ranks, most, env).await?;
        let of = |key: u64| (key ^ 1 << 63) as i64;
        let range = counted.groups.range.map(|(min, max)| (of(min), of(max)));
        let shown = |kept: Option<&Kept>| match kept {
            Some(Kept::Fixed(key)) => instant(of(*key)),
            _ => Value::Null,
        };
        self.set("min", range.map_or(Value::Null, |(min, _)| instant(min)));
        self.set("max", range.map_or(Value::Null, |(_, max)| instant(max)));
        self.set(
            "median",
            shown(counted.ranked.first().and_then(Option::as_ref)),
        );
        if counted.lost.is_some() {
            let error = json!({"rank_error": Quantiles::ERROR});
            self.estimated(&["min", "max", "median"], &error);
        }
        let mode = counted.groups.mode.as_ref();
        Ok(Dates {
            range,
            mode: mode.map(|mode| (shown(Some(&mode.key)), mode.count)),
        })
    }

    /// Distribution and groups of what values are made of.
    async fn part(&mut self, tally: Tally, names: &[&str]) -> Result<(Groups, Show)> {
        let show = Show::new(tally.data_type(), None)?;
        let (most, env) = (self.room.most, self.room.env);
        let counted = tally
            .finish(Groups::default(), Vec::new(), most, env)
            .await?;
        if let Some(name) = names.first() {
            self.set(name, object(labelled(&counted.groups.top, &show)));
        }
        if let Some(lost) = counted.lost {
            let error = json!({"counts_too_low_by_at_most": lost.0});
            self.estimated(names, &error);
        }
        Ok((counted.groups, show))
    }

    async fn texts(&mut self, parts: &mut super::parts::Parts) -> Result<()> {
        let Some(words) = parts.words.take() else {
            return Ok(());
        };
        let (characters, counts) = (parts.characters, parts.word_counts);
        let there = |value: u64| {
            if characters.count > 0 {
                json!(value)
            } else {
                Value::Null
            }
        };
        self.set("avg_string_length", float(characters.mean()));
        self.set("min_character_count", there(characters.min));
        self.set("max_character_count", there(characters.max));
        self.set("avg_word_count", float(counts.mean()));
        self.set("min_word_count", there(counts.min));
        self.set("max_word_count", there(counts.max));
        self.part(words, &["word_distribution"]).await?;
        if let Some(domains) = parts.domains.take() {
            self.part(domains, &["domain_distribution"]).await?;
        }
        Ok(())
    }

    async fn lists(&mut self, parts: &mut super::parts::Parts) -> Result<()> {
        let (Some(elements), Some(lengths)) = (parts.elements.take(), parts.lengths.take()) else {
            return Ok(());
        };
        let spread = parts.list_lengths;
        let there = |value: u64| {
            if spread.count > 0 {
                json!(value)
            } else {
                Value::Null
            }
        };
        self.set("avg_list_length", float(spread.mean()));
        self.set("min_list_length", there(spread.min));
        self.set("max_list_length", there(spread.max));
        self.part(lengths, &["length_distribution"]).await?;
        let names = [
            "element_distribution",
            "most_frequent_element",
            "least_frequent_element",
        ];
        let (groups, show) = self.part(elements, &names).await?;
        let shown = |found: &Option<Frequent>| {
            found
                .as_ref()
                .map_or(Value::Null, |found| show.key(found.key.key()))
        };
        self.set("most_frequent_element", shown(&groups.mode));
        self.set("least_frequent_element", shown(&groups.least));
        Ok(())
    }
}

impl Finished {
    /// Puts in what the second look has found.
    pub(super) fn complete(&mut self, second: Second) {
        let map = &mut self.statistics;
        let mut set = |name: &str, value: Value| {
            if let Some(place) = map.get_mut(name) {
                *place = value;
            }
        };
        if let Some(far) = second.far {
            set(
                "outlier_ratio",
                json!(share(
                    far.count,
                    self.runs.count() - self.invalid.min(self.runs.count())
                )),
            );
            set("outlier_count", far.count.into());
            set("outliers", far.values.into());
        }
        if let Some(histogram) = &second.histogram {
            set("histogram", histogram.to_json());
        }
        if let Some(fences) = second.fences {
            let (min, max, outliers) = fences.parts();
            if let Some(plot) = map.get_mut("box_plot") {
                plot["min"] = min;
                plot["max"] = max;
                plot["outliers"] = outliers.into();
            }
        }
        if let Some(series) = &second.series {
            map.insert("time_series".to_owned(), series.to_json());
        }
    }

    /// The timeline of a column of dates.
    pub(super) fn line(&self) -> Option<Timeline> {
        self.dates.map(|(min, max)| Timeline::new(min, max))
    }
}

/// The sum of decimals of many digits.
fn wide(sum: i128, data_type: &DataType) -> Value {
    match data_type {
        DataType::Decimal128(_, scale) => decimal(sum, *scale),
        _ => digits(&sum.to_string()),
    }
}

fn labelled(top: &[Frequent], show: &Show) -> Vec<(String, u64)> {
    let one = |found: &Frequent| (show.label(found.key.key()), found.count);
    top.iter().map(one).collect()
}

fn object(entries: Vec<(String, u64)>) -> Value {
    let entries = entries.into_iter();
    Value::Object(entries.map(|(name, count)| (name, count.into())).collect())
}
