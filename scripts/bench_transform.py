"""The work of scripts/bench-transform: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
import numpy
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from transforms import ground

SCALE, ROUNDS = sys.argv[1], int(sys.argv[2])
COLUMNS = ["l_orderkey", "l_quantity", "l_extendedprice", "l_discount", "l_returnflag", "l_shipmode", "l_shipdate", "l_comment"]
PEERS = ["pandas", "polars", "duckdb"]
PRICE = ["l_extendedprice"]
STEPS = {
    "impute_median": {"op": "fill_nulls", "columns": ["l_quantity"], "method": "median"},
    "impute_mode": {"op": "fill_nulls", "columns": ["l_shipmode"], "method": "mode"},
    "standardize": {"op": "standardize", "columns": PRICE},
    "normalize": {"op": "normalize", "columns": PRICE},
    "group_sum": {
        "op": "aggregate", "group_by": ["l_returnflag", "l_shipmode"],
        "aggregations": [{"function": "sum", "column": "l_extendedprice", "name": "total"}],
    },
    "filter": {"op": "filter_rows", "condition": "l_quantity > 30 and l_shipmode == 'AIR'"},
    "sort": {"op": "sort_rows", "by": [{"column": "l_shipdate"}, {"column": "l_extendedprice"}]},
    "dedup": {"op": "drop_duplicates", "columns": ["l_orderkey"], "keep": "first"},
    "outlier_iqr": {"op": "remove_outliers", "columns": PRICE, "method": "iqr"},
    "upper": {"op": "uppercase", "columns": ["l_comment"]},
    "shift": {"op": "shift_down", "column": "l_extendedprice", "periods": 1, "name": "l_extendedprice"},
}
BARE = "no steps"


def main():
    sides = os.environ.get("WEIR_BENCH_ONLY", "").split() or [*PEERS, "engine", "http"]
    if not os.environ.get("WEIR_BENCH_ENGINE") and "engine" in sides:
        sides.remove("engine")
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-transform-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        files = home / "files"
        files.mkdir()
        table(home, files / "lineitem.parquet")
        wanted = expected(files / "lineitem.parquet")
        service = ground.Service(stack, home, files, MEMORY_REQUEST_BYTES=4 << 30, MEMORY_BYTES=5 << 30) if "http" in sides else None
        idle = service.memory() if service else 0
        seconds, peaks = {}, {}
        for number in range(ROUNDS):
            for side in sides:
                lines = over_http(service, wanted) if side == "http" else program(side, files / "lineitem.parquet")
                for operation, value in lines.items():
                    if operation == "peak_rss_mib":
                        peaks[side] = max(peaks.get(side, 0), value)
                    else:
                        seconds.setdefault((side, operation), []).append(value)
                told = " ".join(f"{name} {value:.2f}" for name, value in lines.items())
                print(f"round {number + 1}: {side}: {told}", flush=True)
        if service:
            peaks["http"] = service.memory("VmHWM")
        report(sides, wanted["rows"], seconds, peaks, idle)


def table(home, path):
    """The eight columns with decimals as floats; every tenth quantity is null."""
    place, writer = 0, None
    for batch in ground.batches(ground.lineitem(home, SCALE), COLUMNS, 1 << 20):
        tenth = pa.array(numpy.arange(place, place + batch.num_rows) % 10 == 0)
        place += batch.num_rows
        index = COLUMNS.index("l_quantity")
        batch = batch.set_column(index, "l_quantity", pa.compute.if_else(tenth, None, batch.column(index)))
        writer = writer or pyarrow.parquet.ParquetWriter(path, batch.schema, compression="zstd", write_page_index=True)
        writer.write_batch(batch)
    writer.close()
    shutil.rmtree(home / "made")


def expected(path):
    """Rows of each answer, by DuckDB."""
    session = duckdb.connect()
    session.execute("create view t as select * from read_parquet('" + str(path) + "')")

    def one(query):
        return session.execute(query).fetchone()[0]

    rows = one("select count(*) from t")
    fences = "(select quantile_cont(l_extendedprice, 0.25) a, quantile_cont(l_extendedprice, 0.75) b from t)"
    return {
        **dict.fromkeys([BARE, "rows", *STEPS], rows),
        "group_sum": one("select count(*) from (select distinct l_returnflag, l_shipmode from t)"),
        "filter": one("select count(*) from t where l_quantity > 30 and l_shipmode = 'AIR'"),
        "dedup": one("select count(distinct l_orderkey) from t"),
        "outlier_iqr": one(f"select count(*) from t, {fences} where l_extendedprice between a - 1.5 * (b - a) and b + 1.5 * (b - a)"),
    }


def program(side, path):
    """Runs a peer, or the engine, and reads its lines; its peak is that of the process."""
    peers = os.environ.get("WEIR_BENCH_PEERS") or str(ground.ROOT / "scripts/transforms/peers.py")
    command = [os.environ["WEIR_BENCH_ENGINE"], str(path)] if side == "engine" else [sys.executable, peers, side, str(path)]
    found = {"peak_rss_mib": 0.0}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        # What the kernel counts at the end would have this process in it.
        while process.poll() is None:
            found["peak_rss_mib"] = max(found["peak_rss_mib"], ground.memory(process.pid, "VmHWM"))
            time.sleep(0.02)
        lines = process.stdout.read().splitlines()
    assert process.returncode == 0, f"{side} ended with {process.returncode}"
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[1] != "peak_rss_mib":
            found[words[1]] = float(words[2])
    return found


def over_http(service, wanted):
    found = {}
    for operation, step in {BARE: None, **STEPS}.items():
        start = time.perf_counter()
        rows = service.load("lineitem.parquet", [step] if step else [], COLUMNS)
        found[operation] = time.perf_counter() - start
        assert rows == wanted[operation], f"{operation}: {rows} rows, not {wanted[operation]}"
    return found


def report(sides, rows, seconds, peaks, idle):
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    peers, ours = [side for side in sides if side in PEERS], [side for side in sides if side not in PEERS]
    names = {"engine": "engine", "http": "HTTP"}
    head = ["step", *(f"{peer} s" for peer in peers)]
    for side in ours:
        head += [f"{names[side]} s", *(f"{names[side]} ÷ {peer}" for peer in peers)]
    lines = [
        f"Written by `scripts/bench-transform`. `lineitem`, TPC-H scale {SCALE}, {rows:,} rows, eight columns, every tenth `l_quantity` null; {ground.machine()};"
        f" median of {ROUNDS} alternating rounds.",
        "",
        "Peers and the engine have the table in memory before; HTTP reads the Parquet file, runs the step and sends every row as Arrow to pyarrow on the same cores.",
        "",
        f"| {' | '.join(head)} |",
        "|---|" + "---:|" * (len(head) - 1),
    ]
    for operation in [*STEPS, *([BARE] if "http" in ours else [])]:
        cells = [operation, *(figure(medians.get((peer, operation))) for peer in peers)]
        for side in ours:
            own = medians.get((side, operation))
            cells += [figure(own), *(ratio(own, medians.get((peer, operation))) for peer in peers)]
        lines.append(f"| {' | '.join(cells)} |")
    resident = [f"{peaks[side]:.0f}" for side in peers]
    for side in ours:
        resident += [f"{peaks[side]:.0f}", *("" for _ in peers)]
    lines.append(f"| peak resident memory, MiB | {' | '.join(resident)} |")
    if "http" in ours:
        lines += ["", f"The service had {idle:.0f} MiB before."]
    print("\n".join(lines))
    ground.write("bench-transform", "Transforms", lines)


def figure(value):
    return "" if value is None else f"{value:.3f}"


def ratio(own, other):
    return "" if own is None or not other else f"{own / other:.2f}"


main()
