//! The shape of a profile, for the OpenAPI document. The engine makes it as a
//! map, because which statistics there are depends on the type of a column.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What is in the rows.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct ProfileAnswer {
    /// What holds for the rows as a whole.
    dataset: DatasetStatistics,
    /// The columns by name, in their order.
    columns: BTreeMap<String, ProfileColumn>,
    /// What should be cleaned, in the order in which it should be.
    suggestions: Vec<ProfileSuggestion>,
    /// Which statistics are estimates, and how far off they may be; absent when all are exact.
    #[schema(value_type = Option<Object>)]
    approximate: Option<Map<String, Value>>,
}

/// What holds for the rows as a whole. Rates are shares from 0 to 1.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct DatasetStatistics {
    /// Rows.
    row_count: u64,
    /// Columns.
    column_count: u64,
    /// Cells without a value.
    total_null_value_count: u64,
    /// Of all cells.
    total_null_value_rate: f64,
    /// Cells whose value is none of the type of their column.
    total_invalid_value_count: u64,
    /// Of all cells.
    total_invalid_value_rate: f64,
    /// Rows less different rows.
    duplicate_row_count: u64,
    /// Of all rows.
    duplicate_row_rate: f64,
    /// Columns without any value.
    empty_column_count: u64,
    /// Of all columns.
    empty_column_rate: f64,
    /// One less `total_null_value_rate`.
    completeness: f64,
    /// `completeness` less `total_invalid_value_rate`.
    validity: f64,
    /// Whether a column of dates has so few gaps that rows can be ordered by it.
    is_timeseries: bool,
    /// Those columns.
    timeseries_index: Vec<String>,
}

/// A column, and what is in it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct ProfileColumn {
    /// What it means: `category`, `category_high_cardinality`, `datetime`, `email`, `list`, `number`,
    /// `number_with_decimals`, `phone_number`, `text`, `true_or_false` or `zip_code`.
    #[schema(pattern = "^[a-z_]+$")]
    r#type: String,
    /// The rule that found the type; `given` where the caller said it.
    rule: String,
    /// The share of the values for which the rule holds, from 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    /// Which there are depends on the type.
    statistics: ColumnStatistics,
}

/// Statistics of a column. Those that do not belong to its type are absent; null
/// says that there is none, as of a mean of no values.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct ColumnStatistics {
    /// Values; every column has this.
    count: u64,
    /// Different values.
    count_distinct: u64,
    /// Cells without a value.
    null_value_count: u64,
    /// Of all rows.
    null_value_rate: f64,
    /// Different values of all rows.
    unique_value_rate: f64,
    /// The 20 most frequent values, the most frequent first, then by value.
    #[schema(value_type = Option<BTreeMap<String, u64>>)]
    value_counts: Option<Value>,
    /// The longest run of cells without a value.
    max_null_seq: Option<u64>,
    /// The most frequent value; of several the one that was seen first.
    mode: Option<Value>,
    /// How often it stands there, of all rows.
    mode_ratio: Option<f64>,
    /// Cells whose value is none of the column's type.
    invalid_value_count: Option<u64>,
    /// Of all rows.
    invalid_value_rate: Option<f64>,
    /// The first 100 of them.
    #[schema(value_type = Option<Vec<Value>>)]
    invalid_values: Option<Value>,
    /// Where the first 1,000 of them stand, from 0.
    invalid_indices: Option<Vec<u64>>,
    /// How often each of them stands there.
    #[schema(value_type = Option<BTreeMap<String, u64>>)]
    invalid_value_distribution: Option<Value>,
    /// One less `null_value_rate`.
    completeness: Option<f64>,
    /// `completeness` less `invalid_value_rate`.
    validity: Option<f64>,
    /// `Good` where `validity` is at least 0.8, else `Bad`.
    quality: Option<String>,
    /// Numbers: the mean.
    average: Option<f64>,
    /// Numbers: the sum, exact for whole numbers.
    sum: Option<Value>,
    /// Numbers and dates: the smallest.
    min: Option<Value>,
    /// Numbers and dates: the largest.
    max: Option<Value>,
    /// Numbers and dates: the one in the middle.
    median: Option<Value>,
    /// Numbers: the standard deviation of a sample.
    std: Option<f64>,
    /// Numbers: adjusted Fisher–Pearson skewness.
    skew: Option<f64>,
    /// Numbers: values three or more standard deviations from the mean.
    outlier_count: Option<u64>,
    /// Of all values.
    outlier_ratio: Option<f64>,
    /// The first 100 of them.
    outliers: Option<Vec<Value>>,
    /// Numbers: for a box plot.
    box_plot: Option<BoxPlot>,
    /// Numbers: how many values lie where, in 40 buckets; of whole numbers near each other one a value.
    histogram: Option<Vec<HistogramBucket>>,
    /// Numbers: Pearson's r with other columns of numbers, by name.
    #[schema(value_type = Option<BTreeMap<String, Option<f64>>>)]
    correlations: Option<Value>,
    /// Dates: how many values lie when, in 40 buckets. Numbers: the same over the first column of `timeseries_index`.
    time_series: Option<Vec<TimeBucketStatistics>>,
    /// Text: characters on average.
    avg_string_length: Option<f64>,
    /// Text: characters of the shortest.
    min_character_count: Option<u64>,
    /// Text: characters of the longest.
    max_character_count: Option<u64>,
    /// Text: words on average.
    avg_word_count: Option<f64>,
    /// Text: words of the one with the fewest.
    min_word_count: Option<u64>,
    /// Text: words of the one with the most.
    max_word_count: Option<u64>,
    /// Text: the 20 most frequent words.
    #[schema(value_type = Option<BTreeMap<String, u64>>)]
    word_distribution: Option<Value>,
    /// Addresses of mail: the 20 most frequent domains.
    #[schema(value_type = Option<BTreeMap<String, u64>>)]
    domain_distribution: Option<Value>,
    /// Lists: elements on average.
    avg_list_length: Option<f64>,
    /// Lists: elements of the shortest.
    min_list_length: Option<u64>,
    /// Lists: elements of the longest.
    max_list_length: Option<u64>,
    /// Lists: how many have how many elements.
    #[schema(value_type = Option<BTreeMap<String, u64>>)]
    length_distribution: Option<Value>,
    /// Lists: the element that stands in them most often.
    most_frequent_element: Option<Value>,
    /// Lists: the one that stands in them least often.
    least_frequent_element: Option<Value>,
    /// Lists: how often elements stand in them.
    #[schema(value_type = Option<BTreeMap<String, u64>>)]
    element_distribution: Option<Value>,
}

/// A box plot. What lies on or beyond the fences is no part of `min` and `max`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct BoxPlot {
    /// The smallest value within the fences.
    min: Value,
    /// The value at a quarter.
    first_quartile: Value,
    /// The one in the middle.
    median: Value,
    /// The value at three quarters.
    third_quartile: Value,
    /// The largest value within the fences.
    max: Value,
    /// What lies on or beyond the fences.
    #[schema(value_type = Vec<Value>)]
    outliers: Value,
}

/// A part of a histogram, from `min` on and up to the next one's.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct HistogramBucket {
    /// Where it begins.
    #[schema(value_type = f64)]
    min: Value,
    /// Where it ends.
    #[schema(value_type = f64)]
    max: Value,
    /// Values in it.
    count: u64,
}

/// A part of a time series, from `start` on and up to the next one's.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct TimeBucketStatistics {
    /// When it begins, in UTC.
    start: String,
    /// When it ends.
    end: String,
    /// Values in it.
    count: u64,
    /// Numbers: their mean.
    average: Option<f64>,
    /// Numbers: the smallest.
    min: Option<f64>,
    /// Numbers: the largest.
    max: Option<f64>,
}

/// Something that should be cleaned.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct ProfileSuggestion {
    /// What it is named where suggestions are applied.
    id: String,
    /// Why.
    reason: String,
    /// The step that does it.
    #[schema(value_type = Object)]
    step: Value,
    /// The columns that it is about.
    columns: Vec<String>,
    /// Rows that would change or go.
    rows: u64,
    /// Cells that would change or go.
    cells: u64,
    /// What speaks for it, by column, where there is more to say than `reason` does.
    #[schema(value_type = Option<Object>)]
    facts: Option<Map<String, Value>>,
}
