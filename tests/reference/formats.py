"""Reads a stream in every format with readers that share no code with the
service, and sends each body back through /v1/transform.

The Arrow stream is what the others are compared with. Every difference is
printed.

usage: formats.py < {"base", "key", "path"} as JSON
"""

import io
import json
import sys
import urllib.request

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

TYPES = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "ndjson": "application/x-ndjson",
}


def main():
    ask = json.load(sys.stdin)
    name, query = ask["path"].split("?")

    def fetch(suffix, extra=""):
        return call(ask, f"{name}.{suffix}?{query}{extra}")

    wanted = arrow(fetch("arrow"))
    failures = []
    compared = 0
    readings = {
        "parquet": parquet(fetch("parquet")),
        "parquet zstd": parquet(fetch("parquet", "&compression=zstd")),
        "parquet lz4": parquet(fetch("parquet", "&compression=lz4")),
        "parquet none": parquet(fetch("parquet", "&compression=none")),
        "csv": csv(fetch("csv"), wanted.schema, ","),
        "csv tab": csv(fetch("csv", "&delimiter=tab"), wanted.schema, "\t"),
        "csv bom": csv(fetch("csv", "&bom=true"), wanted.schema, ","),
    }
    for suffix, media_type in TYPES.items():
        # Text has no decimals of its own; everything else is found out.
        types = "?types=price:decimal(20,6)" if suffix in ("csv", "ndjson") else ""
        back = call(ask, f"/v1/transform.arrow{types}", fetch(suffix), media_type)
        readings[f"{suffix} sent back"] = arrow(back)
    for label, table in readings.items():
        table = table.cast(wanted.schema)
        for column in wanted.column_names:
            compared += 1
            if not table[column].combine_chunks().equals(wanted[column].combine_chunks()):
                failures.append(f"{label} {column}: {table[column][:5]} is not {wanted[column][:5]}")
    for failure in failures:
        print(failure)
    print(f"compared {compared} columns of {wanted.num_rows} rows")
    sys.exit(1 if failures or not wanted.num_rows else 0)


def call(ask, path, body=None, media_type=None):
    headers = {"Authorization": f"Bearer {ask['key']}"}
    if media_type:
        headers["Content-Type"] = media_type
    request = urllib.request.Request(ask["base"] + path, data=body, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def plain(schema):
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def arrow(body):
    table = pa.ipc.open_stream(body).read_all()
    return table.cast(plain(table.schema))


def parquet(body):
    table = pyarrow.parquet.read_table(io.BytesIO(body))
    return table.cast(plain(table.schema))


def csv(body, schema, delimiter):
    convert = pyarrow.csv.ConvertOptions(
        column_types=plain(schema), null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    return pyarrow.csv.read_csv(io.BytesIO(body), parse_options=parse, convert_options=convert)


if __name__ == "__main__":
    main()
