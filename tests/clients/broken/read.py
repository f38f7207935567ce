"""Asks for rows as users of Python and curl do, and says what each client
reports. Takes cases as JSON, `[{client, url, key, run, coding, http}]`, and
prints `[{run, said}]`: the error, or null where the client was content."""

import concurrent.futures
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import duckdb
import httpx
import pandas
import polars
import pyarrow
import requests

FOLDER = Path(tempfile.mkdtemp(dir=sys.argv[1]))


class Reported(Exception):
    """What a client says without raising."""


def headers(case):
    found = {"Authorization": f"Bearer {case['key']}", "weir-run-id": case["run"]}
    if case["coding"] in ("identity", "gzip", "zstd"):
        found["Accept-Encoding"] = case["coding"]
    return found


def opened(case):
    return urllib.request.urlopen(urllib.request.Request(case["url"], headers=headers(case)))


def raw(case):
    answer = requests.get(case["url"], headers=headers(case), stream=True)
    answer.raw.decode_content = True
    return answer.raw


def with_httpx(case):
    is_http2 = case["http"] == "2"
    with httpx.Client(http1=not is_http2, http2=is_http2, timeout=60) as client:
        answer = client.get(case["url"], headers=headers(case))
        assert answer.http_version == ("HTTP/2" if is_http2 else "HTTP/1.1"), answer.http_version
        answer.raise_for_status()


def with_requests(case):
    answer = requests.get(case["url"], headers=headers(case), timeout=60)
    answer.raise_for_status()


def curl(case, *more):
    """Its exit code, and the file."""
    path = FOLDER / case["run"]
    version = "--http2-prior-knowledge" if case["http"] == "2" else "--http1.1"
    command = ["curl", "--silent", "--fail", version, "--max-time", "60", "--output", path, *more]
    for name, value in headers(case).items():
        command += ["--header", f"{name}: {value}"]
    code = subprocess.run([*command, case["url"]], check=False).returncode
    return code, path


def with_curl(case):
    more = ["--compressed"] if case["coding"] in ("gzip", "zstd") else []
    code, _ = curl(case, *more)
    if code:
        raise Reported(f"exit {code}")


def saved(read):
    """A reader of what curl saved, for those who do not look at its exit code."""

    def run(case):
        _, path = curl(case, "--compressed")
        read(str(path))

    return run


def saved_packed(read):
    def run(case):
        _, path = curl(case)
        named = path.rename(path.with_suffix(".gz"))
        read(str(named))

    return run


def marker(path):
    last = json.loads(Path(path).read_text().splitlines()[-1])
    if last["$weir"]["status"] != "succeeded":
        raise Reported(f"last line: {last['$weir']['status']}, {last['$weir']['problem']['code']}")


def by_pandas(read):
    return lambda case: read(case["url"], storage_options=headers(case))


def whole(path):
    return pyarrow.ipc.open_stream(pyarrow.memory_map(path)).read_all()


def from_duckdb(function):
    def read(path):
        duckdb.connect().sql(f"select count(*), max(n) from {function}('{path}')").fetchall()

    return read


READERS = {
    "curl": with_curl,
    "requests": with_requests,
    "httpx": with_httpx,
    "pyarrow over urllib": lambda case: pyarrow.ipc.open_stream(opened(case)).read_all(),
    "pyarrow over requests.raw": lambda case: pyarrow.ipc.open_stream(raw(case)).read_all(),
    "polars read_ipc_stream": lambda case: polars.read_ipc_stream(opened(case)),
    "pandas read_csv": by_pandas(pandas.read_csv),
    "pandas read_json": by_pandas(pandas.read_json),
    "pandas read_json lines": by_pandas(lambda url, **more: pandas.read_json(url, lines=True, **more)),
    "pandas read_parquet": by_pandas(pandas.read_parquet),
    "curl to a file, pyarrow": saved(whole),
    "curl to a file, polars": saved(polars.read_ipc_stream),
    "curl to a file, json": saved(lambda path: json.loads(Path(path).read_text())),
    "curl to a file, last line": saved(marker),
    "curl to a file, duckdb read_parquet": saved(from_duckdb("read_parquet")),
    "curl to a file, duckdb read_json": saved(from_duckdb("read_json")),
    "curl to a file, duckdb read_csv": saved(from_duckdb("read_csv")),
    "curl to a file, duckdb read_ndjson": saved(from_duckdb("read_ndjson")),
    "curl to a .gz file, pandas read_csv": saved_packed(pandas.read_csv),
}


def said(case):
    try:
        READERS[case["client"]](case)
    except Reported as reported:
        return str(reported)
    except BaseException as error:  # every client has its own; a panic of Rust is no Exception
        return type(error).__name__
    return None


def main():
    cases = json.load(sys.stdin)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = pool.map(said, cases)
        found = [{"run": case["run"], "said": text} for case, text in zip(cases, answers)]
    json.dump(found, sys.stdout)


main()
