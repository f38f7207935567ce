"""The work of scripts/bench-files: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import contextlib
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

ROOT, GIGABYTES = pathlib.Path(sys.argv[1]), float(sys.argv[2])
# One scale of lineitem is about this much as CSV, NDJSON and Parquet together.
GIGABYTES_A_SCALE = 3.3
HEADING = "## Local files"
KEY = "only-for-benchmarks-on-loopback"
FORMATS = ["json", "ndjson", "arrow", "csv", "parquet"]


def main():
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-files-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        files = home / "files"
        files.mkdir()
        table(home, files)
        service = Service(stack, home, files)
        # Weir's own output is the NDJSON: writing it in Python would take longer than all the rest.
        service.load("lineitem.parquet", "ndjson", into=files / "lineitem.ndjson")
        sizes = {path.name: path.stat().st_size for path in sorted(files.iterdir())}
        rows = pyarrow.parquet.ParquetFile(files / "lineitem.parquet").metadata.num_rows
        print(f"{rows} rows, {sizes}", flush=True)
        previews = {name: service.preview(name) for name in sizes}
        loads = {}
        for name in sizes:
            for wanted in FORMATS:
                loads[name, wanted] = service.load(name, wanted)
                print(f"{name} as {wanted}: {loads[name, wanted]:.2f} s, peak {service.memory('VmHWM')} MiB", flush=True)
        selective = service.selective(rows)
        report(rows, sizes, previews, loads, selective, service)


def table(home, files):
    generator = pathlib.Path(sys.executable).parent / "tpchgen-cli"
    scale = f"{GIGABYTES / GIGABYTES_A_SCALE:.3f}"
    made = home / "made"
    subprocess.run([generator, "parquet", "-s", scale, "--tables", "lineitem", "--output-dir", made], check=True)
    [source] = made.glob("**/lineitem*.parquet")
    reader = pyarrow.parquet.ParquetFile(source)
    # The generator writes views of text, which not every writer takes.
    plain = [field.with_type(pa.string()) if field.type == pa.string_view() else field for field in reader.schema_arrow]
    schema = pa.schema(plain)
    target = pyarrow.parquet.ParquetWriter(files / "lineitem.parquet", schema, compression="zstd", write_page_index=True)
    with target, pyarrow.csv.CSVWriter(files / "lineitem.csv", schema) as text:
        for batch in reader.iter_batches(1_000_000):
            rows = pa.Table.from_batches([batch]).cast(schema)
            target.write_table(rows, row_group_size=1_000_000)
            text.write_table(rows)
    shutil.rmtree(made)


class Service:
    """The service with a private store, and one source of the folder."""

    def __init__(self, stack, home, files):
        environment = {
            "PATH": os.environ["PATH"],
            "WEIR_LISTEN": "127.0.0.1:0",
            "WEIR_DATA_DIR": str(home / "data"),
            "WEIR_ADMIN_KEY": KEY,
            "WEIR_FILE_ROOTS": str(files),
            "WEIR_LOG": "info",
        }
        home.chmod(0o755)
        self.log = open(home / "weir.log", "w")
        self.process = subprocess.Popen([os.environ["WEIR_BENCH_BINARY"], "serve"], env=environment, stderr=self.log, stdout=self.log)
        stack.callback(self.process.wait)
        stack.callback(self.process.terminate)
        address = home / "data" / "address"
        for _ in range(600):
            if address.exists() and address.read_text().strip():
                break
            assert self.process.poll() is None, (home / "weir.log").read_text()
            time.sleep(0.1)
        self.base = address.read_text().strip()
        self.ask("/v1/sources", {"name": "f", "connector": "files", "config": {"root": str(files)}}).read()
        self.idle = self.memory("VmRSS")

    def ask(self, path, body):
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), headers)
        return urllib.request.urlopen(request)

    def memory(self, what):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith(what)]
        return int(line.split()[1]) // 1024

    def read_bytes(self):
        lines = pathlib.Path(f"/proc/{self.process.pid}/io").read_text().splitlines()
        return int(lines[0].split()[1])

    def preview(self, name):
        times = []
        for _ in range(6):
            start = time.perf_counter()
            assert json.load(self.ask("/v1/sources/f/preview", {"stream": name, "limit": 100}))["row_count"] == 100
            times.append((time.perf_counter() - start) * 1e3)
        return times[0], statistics.median(times[1:])

    def load(self, name, wanted, into=None):
        command = ["curl", "-sSf", "-H", f"Authorization: Bearer {KEY}", "-o", str(into or "/dev/null")]
        start = time.perf_counter()
        subprocess.run([*command, f"{self.base}/v1/sources/f/load.{wanted}?stream={name}"], check=True)
        return time.perf_counter() - start

    def selective(self, rows):
        """One column with a filter that keeps a thousandth: rows, seconds and bytes read."""
        middle = rows // 2
        body = {"stream": "lineitem.parquet", "columns": ["l_comment"], "filter": f"l_orderkey >= {middle} and l_orderkey < {middle + rows // 250}"}
        before, start = self.read_bytes(), time.perf_counter()
        found = len(json.load(self.ask("/v1/sources/f/load.json", body)))
        return found, time.perf_counter() - start, self.read_bytes() - before


def report(rows, sizes, previews, loads, selective, service):
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    lines = [
        HEADING,
        "",
        f"Written by `scripts/bench-files`. `lineitem`, {rows:,} rows, {machine}, commit {commit}, one round, curl into nothing.",
        "",
        "| file | MB | preview of 100 rows, first / again ms | " + " | ".join(f"{wanted} s" for wanted in FORMATS) + " |",
        "|---|---:|---:|" + "---:|" * len(FORMATS),
    ]
    for name, size in sizes.items():
        first, again = previews[name]
        times = " | ".join(f"{loads[name, wanted]:.2f}" for wanted in FORMATS)
        lines.append(f"| {name} | {size / 1e6:.0f} | {first:.0f} / {again:.0f} | {times} |")
    found, seconds, read = selective
    share = read / sizes["lineitem.parquet"]
    lines += [
        "",
        f"Memory before the first load {service.idle} MiB, peak over all {service.memory('VmHWM')} MiB.",
        f"One column of the Parquet file with a filter on another, {found:,} rows kept: {seconds * 1e3:.0f} ms, {read / 1e6:.1f} MB read by the process (`/proc/PID/io`), {share:.1%} of the file.",
    ]
    print("\n".join(lines))
    path = ROOT / "docs" / "BENCHMARKS.md"
    text = path.read_text()
    start = text.find(HEADING)
    rest = ""
    if start >= 0:
        following = text.find("\n## ", start + 1)
        rest = text[following:].lstrip("\n") if following >= 0 else ""
        text = text[:start]
    path.write_text(text.rstrip() + "\n\n" + "\n".join(lines) + "\n" + (f"\n{rest}" if rest else ""))


main()
