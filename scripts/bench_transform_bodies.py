"""The work of scripts/bench-transform-bodies: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import argparse
import contextlib
import http.client
import json
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from transforms import ground

COLUMNS = ["l_orderkey", "l_quantity", "l_extendedprice", "l_discount", "l_returnflag", "l_shipmode", "l_shipdate", "l_comment"]
STEPS = [
    {"op": "uppercase", "columns": ["l_comment"]},
    {"op": "filter_rows", "condition": "l_quantity > 10"},
    {"op": "add_column", "name": "total", "expression": "l_extendedprice * (1 - l_discount)"},
]
TYPES = {
    "ndjson": "application/x-ndjson", "arrow": "application/vnd.apache.arrow.stream", "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
# A Parquet file is read from its end: its rows cannot come out before all of it went in.
STREAMED = ["ndjson", "arrow", "csv"]
# One scale of lineitem has at least so many megabytes in its smallest form.
MEGABYTES_A_SCALE = 120
BLOCK = 1 << 18


def main():
    parser = argparse.ArgumentParser(prog="bench-transform-bodies")
    parser.add_argument("megabytes", nargs="?", type=int, default=100)
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    wanted = parser.parse_args()
    broken = []
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-bodies-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        files = home / "files"
        files.mkdir()
        bodies = made(home, files, wanted.megabytes * 1_000_000)
        service = ground.Service(stack, home, files)
        service.ask("/v1/transform", {"data": [{"l_quantity": 1, "l_comment": "x", "l_extendedprice": 1.5, "l_discount": 0.5}], "steps": STEPS})
        seen = {}
        for number in range(wanted.rounds):
            for form, (path, rows) in bodies.items():
                with ground.Watch(service, service.data / "spill", service.data / "spool") as watch:
                    answer = sent(service, form, path)
                told = f"{answer.rows} rows in {watch.seconds:.2f} s, first byte after {answer.first:.3f} s with {answer.sent_at_first:.1%} of the body sent, peak +{watch.peak - watch.before:.0f} MiB"
                print(f"round {number + 1}: {form}: {told}", flush=True)
                seen.setdefault(form, []).append((answer, watch))
                if answer.rows != rows:
                    broken.append(f"{form}: {answer.rows} rows, not {rows}: {answer.problem}")
                if form in STREAMED and answer.sent_at_first > 0.5:
                    broken.append(f"{form}: {answer.sent_at_first:.0%} of the body went in before the first byte came out")
        report(wanted, bodies, seen, broken)
    sys.exit(1 if broken else 0)


def made(home, files, size):
    """A body of each form of about `size` bytes; path, and rows that its answer has."""
    source, bodies = ground.lineitem(home, max(0.01, size / 1e6 / MEGABYTES_A_SCALE * 1.3)), {}
    for form in TYPES:
        path, kept = files / f"body.{form}", 0
        with open(path, "wb") as file:
            write, close = writer(form, file)
            for batch in ground.batches(source, COLUMNS, 32_768):
                write(batch)
                kept += pa.compute.sum(pa.compute.greater(batch.column("l_quantity"), 10)).as_py() or 0
                if file.tell() >= size:
                    break
            close()
        bodies[form] = path, kept
    shutil.rmtree(home / "made")
    return bodies


def writer(form, file):
    schema = pa.schema([
        ("l_orderkey", pa.int64()), ("l_quantity", pa.float64()), ("l_extendedprice", pa.float64()), ("l_discount", pa.float64()),
        ("l_returnflag", pa.string()), ("l_shipmode", pa.string()), ("l_shipdate", pa.date32()), ("l_comment", pa.string()),
    ])
    if form == "ndjson":
        return lambda batch: file.write(lines(batch)), lambda: None
    if form == "csv":
        table = pyarrow.csv.CSVWriter(file, schema)
    elif form == "arrow":
        table = pa.ipc.new_stream(file, schema)
    else:
        table = pyarrow.parquet.ParquetWriter(file, schema, compression="zstd")
    return table.write_batch if form == "parquet" else table.write, table.close


def lines(batch):
    rows = batch.set_column(COLUMNS.index("l_shipdate"), "l_shipdate", batch.column("l_shipdate").cast(pa.string())).to_pylist()
    return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)


class Answer:
    """What came back, and when."""

    def __init__(self):
        self.rows, self.first, self.sent, self.sent_at_first, self.problem = 0, 0.0, 0, 0.0, ""


def sent(service, form, path):
    """Sends in a thread and reads meanwhile."""
    answer, size, start = Answer(), path.stat().st_size, time.perf_counter()
    connection = http.client.HTTPConnection(service.base.removeprefix("http://"), timeout=600)
    query = urllib.parse.urlencode({"steps": json.dumps(STEPS)})
    connection.putrequest("POST", f"/v1/transform.arrow?{query}")
    for name, value in {"Authorization": f"Bearer {ground.KEY}", "Content-Type": TYPES[form], "Transfer-Encoding": "chunked"}.items():
        connection.putheader(name, value)
    connection.endheaders()

    def send():
        try:
            with open(path, "rb") as body:
                while block := body.read(BLOCK):
                    connection.sock.sendall(f"{len(block):x}\r\n".encode() + block + b"\r\n")
                    answer.sent += len(block)
            connection.sock.sendall(b"0\r\n\r\n")
        except OSError as error:
            answer.problem = f"sending: {error}"

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    response = connection.getresponse()
    if response.status != 200:
        answer.problem = f"{response.status}: {response.read(600).decode(errors='replace')}"
    else:
        try:
            with pa.ipc.open_stream(First(response, answer, start, size)) as reader:
                answer.rows = sum(batch.num_rows for batch in reader)
        except (pa.ArrowInvalid, OSError, http.client.HTTPException) as error:
            answer.problem = f"reading: {error}"
    sender.join(60)
    connection.close()
    return answer


class First:
    """A body that notes when its first byte was there."""

    closed = False

    def __init__(self, response, answer, start, size):
        self.response, self.answer, self.start, self.size = response, answer, start, size

    def read(self, size=-1):
        data = self.response.read(None if size is None or size < 0 else size)
        if not self.answer.first:
            self.answer.first = time.perf_counter() - self.start
            self.answer.sent_at_first = self.answer.sent / self.size
        return data

    def readable(self):
        return True

    def close(self):
        self.closed = True


def report(wanted, bodies, seen, broken):
    lines_ = [
        f"Written by `scripts/bench-transform-bodies --write`. Bodies of TPC-H `lineitem`, eight columns, sent in blocks of {BLOCK >> 10} KiB through `POST /v1/transform` with `uppercase`,"
        f" `filter_rows` and `add_column`, the answer read as Arrow meanwhile; {ground.machine()}; medians of {wanted.rounds} rounds, memory the most of them.",
        "",
        "| body | MB | rows out | s | first byte out after ms | of the body sent by then | resident before, MiB | peak over it, MiB | on disk at most, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for form, runs in seen.items():
        answers, watches = zip(*runs)
        middle = statistics.median
        lines_.append(
            f"| {form} | {bodies[form][0].stat().st_size / 1e6:.0f} | {answers[0].rows:,} | {middle(watch.seconds for watch in watches):.2f}"
            f" | {middle(answer.first for answer in answers) * 1e3:.0f} | {middle(answer.sent_at_first for answer in answers):.1%}"
            f" | {min(watch.before for watch in watches):.0f} | {max(watch.peak - watch.before for watch in watches):.0f} | {max(watch.bytes for watch in watches) / 1e6:.0f} |"
        )
    lines_ += ["", f"Broken: {'; '.join(broken) or 'nothing'}."]
    print("\n".join(lines_))
    if wanted.write:
        ground.write("bench-transform-bodies", "Bodies through transforms", lines_)


main()
