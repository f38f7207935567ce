"""Compares what the service gives of a Postgres table with the server's own text.

The reference is the text form of every value, as the server writes it and
libpq hands it over; the Arrow stream is read by pyarrow (C++), JSON by Python.
None of the three shares code with the service. Every value is brought into one
canonical form, and every difference is printed.

usage: compare.py < {"dsn", "base", "key", "source", "stream", "order"} as JSON
"""

import base64
import json
import math
import re
import struct
import sys
import urllib.parse
import urllib.request
from decimal import Decimal

import psycopg
import pyarrow as pa

MICROS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": None}
DAY = 86_400_000_000
I64 = range(-(2**63), 2**63)
NULL_OR_JSON_NULL = object()


def main():
    ask = json.load(sys.stdin)
    types, rows = reference(ask)
    table = fetch_arrow(ask)
    names = list(types)
    failures = []
    if table.column_names != names:
        failures.append(f"columns: {table.column_names} != {names}")
    compared = 0
    formats = {
        "arrow": ({name: arrow_values(table.column(name)) for name in names}, from_arrow),
        "json": (by_column(fetch_json(ask), names), from_json),
        "ndjson": (by_column(fetch_ndjson(ask), names), from_json),
    }
    for label, (columns, convert) in formats.items():
        for name, kind in types.items():
            found = columns[name]
            if len(found) != len(rows):
                failures.append(f"{label} {name}: {len(found)} rows, not {len(rows)}")
                continue
            for row, value in zip(rows, found):
                want = canonical(row[name], kind)
                if label != "arrow":
                    want = as_json_shows(want)
                try:
                    have = convert(value, kind)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
                    have = f"{type(error).__name__}: {error} in {value!r}"
                compared += 1
                if not same(want, have):
                    failures.append(f"{label} {name} ({kind}) row {row['id']}: want {short(want)}, have {short(have)}")
    for failure in failures:
        print(failure)
    print(f"compared {compared} values of {len(names)} columns in {len(formats)} formats")
    sys.exit(1 if failures or not compared else 0)


def short(value):
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}… ({len(text)})"


def same(want, have):
    if have is NULL_OR_JSON_NULL:
        return want in (None, ("json", None))
    if isinstance(want, float) and isinstance(have, float):
        return want == have and math.copysign(1, want) == math.copysign(1, have) or (want != want and have != have)
    if isinstance(want, list) and isinstance(have, list):
        return len(want) == len(have) and all(same(a, b) for a, b in zip(want, have))
    return type(want) is type(have) and want == have


# --- the three readings


def reference(ask):
    """Column types by name, and rows of the server's own text."""
    with psycopg.connect(ask["dsn"]) as connection, connection.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'; set intervalstyle = 'iso_8601'; set datestyle = 'ISO'; set bytea_output = 'hex'")
        cursor.execute(
            """select a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid),
                      case when t.typbasetype <> 0 then t.typtypmod else a.atttypmod end), a.attndims,
                      coalesce(et.typtype, t.typtype)::text,
                      case when et.typtype = 'd' then format_type(et.typbasetype, et.typtypmod) end
               from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type et on et.oid = t.typelem and t.typcategory = 'A'
               where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum""",
            [ask["stream"]],
        )
        types = {}
        for name, shown, dimensions, variety, item in cursor.fetchall():
            if item:
                shown = item + "[]"
            if variety == "e" or variety == "c":
                shown = "text[]" if shown.endswith("[]") else "text"
            if shown.endswith("[]"):
                shown = shown[:-2] + "[]" * max(dimensions, 1)
            types[name] = shown
        cursor.execute(f"select * from {ask['stream']} order by {ask['order']}")
        result = cursor.pgresult
        rows = []
        for number in range(result.ntuples):
            raw = [result.get_value(number, column) for column in range(result.nfields)]
            rows.append({name: None if text is None else text.decode() for name, text in zip(types, raw)})
    for row in rows:
        row["id"] = row["id"] if "id" in row else None
    return types, rows


def fetch(ask, suffix):
    query = urllib.parse.urlencode({"stream": ask["stream"], "order_by": ask["order"]})
    url = f"{ask['base']}/v1/sources/{ask['source']}/load.{suffix}?{query}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {ask['key']}"})
    return urllib.request.urlopen(request)


def fetch_arrow(ask):
    with fetch(ask, "arrow") as body, pa.ipc.open_stream(body) as reader:
        return reader.read_all()


def loads(text):
    return json.loads(text, parse_float=Decimal, parse_constant=lambda name: 1 / 0)


def fetch_json(ask):
    with fetch(ask, "json") as body:
        return loads(body.read())


def fetch_ndjson(ask):
    with fetch(ask, "ndjson") as body:
        return [loads(line) for line in body]


def by_column(rows, names):
    for row in rows:
        assert list(row) == names, f"keys {list(row)}"
    return {name: [row[name] for row in rows] for name in names}


def arrow_values(column):
    return [(chunk, index) for chunk in column.chunks for index in range(len(chunk))]


# --- the server's text


def canonical(text, kind):
    if text is None:
        return None
    if kind.endswith("[]"):
        return array(text, kind)
    return scalar(text, kind)


def array(text, kind):
    base = kind.rstrip("[]")
    if "=" in text.split("{")[0]:
        text = text[text.index("{") :]
    value, end = array_level(text, 0, base)
    assert end == len(text), text
    return value


def array_level(text, at, base):
    assert text[at] == "{", text[at:]
    at += 1
    items = []
    while text[at] != "}":
        if text[at] == ",":
            at += 1
        if text[at] == "{":
            item, at = array_level(text, at, base)
        elif text[at] == '"':
            piece = []
            at += 1
            while text[at] != '"':
                if text[at] == "\\":
                    at += 1
                piece.append(text[at])
                at += 1
            at += 1
            item = scalar("".join(piece), base)
        else:
            end = min(place for place in (text.find(",", at), text.find("}", at)) if place >= 0)
            word = text[at:end]
            at = end
            item = None if word == "NULL" else scalar(word, base)
        items.append(item)
    return items, at + 1


def scalar(text, kind):
    name = kind.split("(")[0]
    if name in ("smallint", "integer", "bigint", "oid"):
        return int(text)
    if name == "real":
        value = float(text)
        return struct.unpack("f", struct.pack("f", value))[0]
    if name == "double precision":
        return float(text)
    if name == "numeric":
        return numeric(text, kind)
    if name == "boolean":
        return text == "t"
    if name == "bytea":
        return bytes.fromhex(text[2:])
    if name == "date":
        return None if "infinity" in text else days(text)
    if name.startswith("timestamp"):
        return timestamp(text)
    if kind.startswith("time") and kind.endswith("without time zone"):
        value = clock(text)
        return value if value < DAY else None
    if name == "interval":
        return interval(text)
    if name in ("json", "jsonb"):
        return ("json", text)
    return text


def numeric(text, kind):
    match = re.fullmatch(r"numeric\((\d+),(-?\d+)\)", kind)
    if not match:
        return text
    precision, scale = map(int, match.groups())
    width = precision - scale if scale < 0 else max(precision, scale)
    if width > 76:
        return text
    return None if text == "NaN" else Decimal(text)


def days(text):
    """Days since 1970-01-01 of `[Y]YYYY-MM-DD[ BC]`, in the proleptic Gregorian calendar."""
    year, month, day = map(int, text.removesuffix(" BC").split("-"))
    year = 1 - year if text.endswith(" BC") else year
    months = year * 12 + month - 3
    shifted, month = divmod(months, 12)
    return shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + (month * 153 + 2) // 5 + day - 1 - 719_468


def clock(text):
    hours, minutes, seconds = text.split(":")
    return (int(hours) * 3600 + int(minutes) * 60) * 1_000_000 + int(Decimal(seconds) * 1_000_000)


def timestamp(text):
    if "infinity" in text:
        return None
    era = " BC" if text.endswith(" BC") else ""
    day, time = text.removesuffix(" BC").split(" ")
    match = re.fullmatch(r"([\d:.]+)(\+00)?", time)
    value = days(day + era) * DAY + clock(match.group(1))
    return value if value in I64 else None


DURATION = re.compile(r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)W)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?[\d.]+)S)?)?")


def interval(text):
    match = DURATION.fullmatch(text)
    assert match, f"not an ISO 8601 duration: {text}"
    years, months, weeks, day_count, hours, minutes = (int(part or 0) for part in match.groups()[:6])
    seconds = Decimal(match.group(7) or 0)
    if seconds == 0 and (match.group(7) or "").startswith("-"):
        seconds = Decimal(0)
    micros = (hours * 3600 + minutes * 60) * 1_000_000 + int(seconds * 1_000_000)
    if micros * 1000 not in I64:
        return None
    return (years * 12 + months, weeks * 7 + day_count, micros)


# --- Arrow


def from_arrow(place, kind):
    chunk, index = place
    return arrow_value(chunk, index, kind)


def arrow_value(chunk, index, kind):
    if not chunk[index].is_valid:
        return None
    if kind.endswith("[]"):
        values = chunk[index].values
        return [arrow_value(values, item, kind[:-2]) for item in range(len(values))]
    data_type = chunk.type
    if isinstance(data_type, pa.BaseExtensionType):
        chunk, data_type = chunk.storage, data_type.storage_type
    one = chunk.slice(index, 1)
    name = kind.split("(")[0]
    if name == "date":
        return one.cast(pa.int32()).to_pylist()[0]
    if pa.types.is_timestamp(data_type):
        assert (data_type.tz == "UTC") == kind.endswith("with time zone"), data_type
        return one.cast(pa.int64()).to_pylist()[0] * MICROS[data_type.unit]
    if pa.types.is_time64(data_type):
        assert data_type.unit == "us", data_type
        return one.cast(pa.int64()).to_pylist()[0]
    value = one.to_pylist()[0]
    if name == "interval":
        assert value[2] % 1000 == 0, value
        return (value[0], value[1], value[2] // 1000)
    if name in ("json", "jsonb"):
        return ("json", value)
    widths = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(), "oid": pa.int64(), "real": pa.float32()}
    assert name not in widths or data_type == widths[name], data_type
    return value


# --- JSON


def as_json_shows(value):
    """What JSON has no place for is null there."""
    if isinstance(value, list):
        return [as_json_shows(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, tuple) and value[0] == "json":
        return ("json", loads(value[1]))
    return value


def from_json(value, kind):
    name = kind.split("(")[0]
    if kind.endswith("[]"):
        return None if value is None else [from_json(item, kind[:-2]) for item in value]
    if name in ("json", "jsonb"):
        # A JSON null in the table and an SQL NULL look the same in JSON.
        return NULL_OR_JSON_NULL if value is None else ("json", value)
    if value is None:
        return None
    if name == "real":
        return struct.unpack("f", struct.pack("f", float(value)))[0]
    if name == "double precision":
        return float(value)
    if name == "numeric":
        return value if isinstance(value, str) else Decimal(value)
    if name == "bytea":
        return base64.b64decode(value, validate=True)
    if name == "date":
        return iso_days(value)
    if name.startswith("timestamp"):
        day, time = value.split("T")
        assert time.endswith("Z") == kind.endswith("with time zone"), value
        return iso_days(day) * DAY + clock(time.removesuffix("Z"))
    if kind.startswith("time") and kind.endswith("without time zone"):
        return clock(value)
    if name == "interval":
        return interval(value)
    return value


def iso_days(text):
    """Years before 1 are counted from 0 downwards, years beyond four digits have a sign."""
    sign = -1 if text.startswith("-") else 1
    year, month, day = text.lstrip("+-").split("-")
    assert (len(year) == 4) == (text[0] not in "+-") or sign < 0, f"not ISO 8601: {text}"
    year = sign * int(year)
    return days(f"{year}-{month}-{day}") if year > 0 else days(f"{1 - year}-{month}-{day} BC")


if __name__ == "__main__":
    main()
