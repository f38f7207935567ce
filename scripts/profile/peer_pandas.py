"""The statistics of a profile, computed with pandas: what scripts/bench-profile measures Weir against.

usage: peer_pandas.py FILE.parquet > answer.json

Written as somebody would who knows pandas: vectorised, one column after the other, values counted once and what belongs to
texts computed of different values and weighted by how often they are there.
"""

import collections
import json
import re
import sys
import time

import numpy as np
import pandas as pd
import pyarrow.parquet

SAMPLE = 100_000
SHOWN = 20
BLANKS = str.maketrans(dict.fromkeys(":;.,/\\&`\"'()[]{}<>", " "))
PATTERNS = {
    "boolean": r"(?i)true|false|yes|no|y|n|t|f|1|0|on|off",
    "integer": r"-?[$€¥₹元£]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.0*)?",
    "number": r"-?[$€¥₹元£]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)\.?\d*|\.\d+)\s?%?",
    "datetime": r"(?:\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/]\d{1,2}[-/](?:\d{4}|\d{2})|[A-Z][a-z]{2,8}\.? \d{1,2},? \d{4}).*",
    "email": r"[A-Za-z0-9_.+#-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+",
    "phone": r"(?:\+?\d{1,3}[-. ]?)?\(?\d{3}\)?[-. ]?\d{3}[-. ]?\d{4}(?: x\d+)?",
    "zip": r"\d{3,5}(?:[- ]\d{4})?",
    "list": r"\[.*\]|\(.*\)",
}


def main():
    start = time.perf_counter()
    table = read(sys.argv[1])
    ready = time.perf_counter()
    answer = profile(table)
    answer["seconds"] = {"read": ready - start, "profile": time.perf_counter() - ready}
    json.dump(answer, sys.stdout, default=plain, allow_nan=False)


def read(path):
    """The file as a frame, decimals as floats."""
    table = pyarrow.parquet.read_table(path)
    for index, field in enumerate(table.schema):
        if pyarrow.types.is_decimal(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(pyarrow.float64()))
        elif field.type == pyarrow.date32():
            table = table.set_column(index, field.name, table.column(index).cast(pyarrow.timestamp("s")))
    return table.to_pandas(self_destruct=True)


def profile(frame):
    rows, width = frame.shape
    columns, numbers, dates, cleaned = {}, {}, [], {}
    for name in frame.columns:
        values = frame[name]
        if pd.api.types.is_string_dtype(values.dtype):
            values = trimmed(values)
        cleaned[name] = values
    for name, values in cleaned.items():
        kind = kind_of(name, values)
        found = general(values, rows)
        if kind in ("number", "number_with_decimals"):
            numbers[name] = values
            found |= of_numbers(values)
        elif kind == "datetime":
            found |= of_dates(values)
            if found["null_value_rate"] <= 0.1:
                dates.append(name)
        else:
            found |= of_texts(values)
        columns[name] = found
    correlations(numbers, columns)
    series = time_series(cleaned, dates, numbers)
    frame = pd.DataFrame(cleaned, copy=False)
    return {"dataset": dataset(frame, columns, rows, width, dates), "columns": columns, "time_series": len(series)}


def trimmed(values):
    """Without blanks and quotes around, blank text as null: of the different values, put back by their codes."""
    codes, different = pd.factorize(values)
    bare = pd.Series(different).str.strip(" \t\r\n\"'")
    bare = bare.where(bare != "")
    if bare.equals(pd.Series(different)):
        return values
    return pd.Series(bare.array.take(codes, allow_fill=True), index=values.index, name=values.name)


def kind_of(name, values):
    sample = values.iloc[:SAMPLE].dropna()
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "datetime"
    if pd.api.types.is_bool_dtype(values.dtype):
        return "true_or_false"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "number" if (sample % 1 == 0).all() else "number_with_decimals"
    if sample.empty:
        return "text"
    share = {pattern: sample.str.fullmatch(regex).mean() for pattern, regex in PATTERNS.items()}
    if share["boolean"] == 1:
        return "true_or_false"
    if share["number"] == 1:
        return "number" if share["integer"] == 1 else "number_with_decimals"
    for kind, pattern, least, named in [
        ("datetime", "datetime", 0.5, ""), ("email", "email", 0.3, ""), ("phone_number", "phone", 0.3, "phone|landline"),
        ("zip_code", "zip", 0.3, "zip|postal|postcode"), ("list", "list", 0.3, ""),
    ]:
        if share[pattern] >= least and re.search(named, name, re.IGNORECASE):
            return kind
    different = sample.nunique()
    if different / len(sample) >= 0.8 or (sample.str.split().str.len() > 40).any():
        return "text"
    return "category" if different <= 255 else "category_high_cardinality"


def general(values, rows):
    counts = values.value_counts(sort=False)
    nulls = int(values.isna().sum())
    most = counts.max()
    frequent = counts[counts == most].index
    # The first of those that are there most often.
    mode = values[values.isin(frequent)].iloc[0] if len(frequent) > 1 else frequent[0]
    missing = values.isna().to_numpy()
    longest = 0
    if nulls:
        edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.view(np.int8), [0]))))
        longest = int((edges[1::2] - edges[::2]).max())
    top = counts.nlargest(SHOWN, keep="all").reset_index()
    top.columns = ["value", "count"]
    top = top.sort_values(["count", "value"], ascending=[False, True]).head(SHOWN)
    present = 1 - nulls / rows
    found = {
        "count": rows - nulls, "count_distinct": len(counts), "null_value_count": nulls, "null_value_rate": nulls / rows,
        "unique_value_rate": len(counts) / rows, "max_null_seq": longest, "mode_ratio": int(most) / rows,
        # All rows of this table are valid in what they are found to be.
        "invalid_value_count": 0, "invalid_value_rate": 0, "completeness": present, "validity": present,
        "quality": "Good" if present >= 0.8 else "Bad",
    }
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return found | {"mode": iso(mode)}
    found["mode"] = mode
    # How floats are written is nobody's statistic.
    if pd.api.types.is_float_dtype(values.dtype):
        assert len(top) <= SHOWN
        return found
    return found | {"value_counts": dict(zip(map(str, top["value"]), map(int, top["count"])))}


def of_numbers(values):
    values = values.dropna()
    floats = values.to_numpy(dtype="float64")
    mean, std = values.mean(), values.std()
    far = values[(values - mean).abs() / std >= 3]
    order = np.sort(floats)
    last = len(order) - 1
    first, third = order[round(0.25 * last)], order[round(0.75 * last)]
    fence = 1.5 * (third - first)
    outside = (floats <= first - fence) | (floats >= third + fence) if fence else floats != first
    rest, median = floats[~outside], float(values.median())
    span = order[-1] - order[0]
    whole = pd.api.types.is_integer_dtype(values.dtype)
    buckets = int(span) + 1 if whole and span <= 40 else 40
    np.histogram(floats, bins=buckets)
    return {
        "average": float(mean), "sum": values.sum(), "min": values.min(), "max": values.max(), "median": median, "std": float(std),
        "skew": float(values.skew()), "outlier_count": len(far), "outlier_ratio": len(far) / len(values), "outliers": far.head(100).tolist(),
        "box_plot": {
            "min": rest.min(), "first_quartile": first, "median": median, "third_quartile": third, "max": rest.max(),
            "outliers": floats[outside][:100].tolist(),
        },
    }


def of_dates(values):
    order = values.dropna().sort_values()
    return {"min": iso(order.iloc[0]), "max": iso(order.iloc[-1]), "median": iso(order.iloc[len(order) // 2])}


def of_texts(values):
    counts = values.value_counts(sort=False)
    texts, weights = pd.Series(counts.index), counts.to_numpy()
    lengths = texts.str.len().to_numpy(dtype="int64")
    words, many = collections.Counter(), np.empty(len(texts), dtype="int64")
    for place, (text, weight) in enumerate(zip(texts, weights.tolist())):
        found = text.lower().translate(BLANKS).split()
        many[place] = len(found)
        for word in found:
            words[word] += weight
    top = sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN]
    return {
        "avg_string_length": float(np.average(lengths, weights=weights)), "min_character_count": int(lengths.min()), "max_character_count": int(lengths.max()),
        "avg_word_count": float(np.average(many, weights=weights)), "min_word_count": int(many.min()), "max_word_count": int(many.max()),
        "word_distribution": dict(top),
    }


def correlations(numbers, columns):
    if len(numbers) < 2:
        return
    found = pd.DataFrame(numbers, copy=False).corr()
    for name in numbers:
        columns[name]["correlations"] = {other: found.loc[name, other] for other in numbers if other != name}


def time_series(columns, dates, numbers):
    """Rows, and figures of numbers, in 40 buckets of each column of dates."""
    found = {}
    for name in dates:
        moments = columns[name].astype("int64")
        bucket = pd.cut(moments, 40, labels=False)
        found[name] = [bucket.value_counts().sort_index()]
        found[name].append(pd.DataFrame(numbers, copy=False).groupby(bucket).agg(["mean", "min", "max"]))
    return found


def dataset(frame, columns, rows, width, dates):
    duplicates = int(frame.duplicated().sum())
    nulls = sum(column["null_value_count"] for column in columns.values())
    empty = sum(column["count"] == 0 for column in columns.values())
    cells = rows * width
    return {
        "row_count": rows, "column_count": width, "total_null_value_count": nulls, "total_null_value_rate": nulls / cells,
        "total_invalid_value_count": 0, "total_invalid_value_rate": 0, "duplicate_row_count": duplicates, "duplicate_row_rate": duplicates / rows,
        "empty_column_count": empty, "empty_column_rate": empty / width, "completeness": 1 - nulls / cells, "validity": 1 - nulls / cells,
        "is_timeseries": bool(dates), "timeseries_index": dates,
    }


def iso(moment):
    return moment.isoformat() + "Z"


def plain(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value))


main()
