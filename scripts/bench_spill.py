"""The work of scripts/bench-spill: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import argparse
import contextlib
import pathlib
import shutil
import sys
import tempfile
import threading
import time

import numpy
import pyarrow as pa
import pyarrow.parquet

from transforms import ground

BATCH = 1 << 18
LABEL = 96
# Bytes of a row in Arrow: four numbers, a date, a label and its offset.
ROW = 8 + 8 + 8 + 4 + LABEL + 4
PARTS = ["sort", "dedup", "group", "join", "kill"]
SORT = {"op": "sort_rows", "by": [{"column": "day"}, {"column": "price"}]}
STEPS = {
    "sort": SORT,
    "dedup": {"op": "drop_duplicates", "columns": ["key"], "keep": "first"},
    "group": {
        "op": "aggregate", "group_by": ["key"],
        "aggregations": [{"function": "sum", "column": "price", "name": "total"}, {"function": "count", "column": "id", "name": "rows"}],
    },
    "join": {"op": "join", "source": "f", "stream": "right.parquet", "left_on": ["key"], "right_on": ["right_key"], "how": "inner"},
}
TITLES = {
    "sort": "sorted by two columns", "dedup": "duplicates of a column dropped, the first kept",
    "group": "aggregated by that column", "join": "joined with the second table",
}


def main():
    parser = argparse.ArgumentParser(prog="bench-spill")
    parser.add_argument("gigabytes", nargs="?", type=float, default=4)
    parser.add_argument("--memory", type=int, default=512 * ground.MIB)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--write", action="store_true")
    wanted = parser.parse_args()
    parts = wanted.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-spill-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        ground.room(home, int(wanted.gigabytes * 4e9))
        files = home / "files"
        files.mkdir()
        facts = tables(files, int(wanted.gigabytes * 1e9) // ROW)
        print(facts, flush=True)
        settings = {"MEMORY_REQUEST_BYTES": wanted.memory, "MEMORY_BYTES": wanted.memory * 5 // 4, "SPILL_BYTES": int(wanted.gigabytes * 4e9)}
        service = ground.Service(stack, home, files, **settings)
        rows, broken = [], []
        for name in parts:
            if name != "kill":
                rows.append(measured(service, name, facts, broken))
        killed = kill(stack, service, home, files, settings, broken) if "kill" in parts else []
    report(wanted, facts, rows, killed, broken)
    sys.exit(1 if broken else 0)


def tables(files, rows):
    """The large table, and a second one with every third key; both batch by batch. The facts are counted on the way."""
    random = numpy.random.default_rng(20240131)
    keys = rows // 2
    seen, matched, writer = numpy.zeros(keys, bool), 0, None
    for start in range(0, rows, BATCH):
        number = min(BATCH, rows - start)
        key = random.integers(0, keys, number)
        seen[key] = True
        matched += int((key % 3 == 0).sum())
        batch = pa.record_batch({
            "id": pa.array(numpy.arange(start, start + number)),
            "key": pa.array(key),
            "price": pa.array(random.random(number) * 1e5),
            "day": pa.array(random.integers(8_000, 12_000, number).astype("int32"), pa.date32()),
            "label": labels(random, number, LABEL),
        })
        writer = writer or pyarrow.parquet.ParquetWriter(files / "left.parquet", batch.schema, compression="none", use_dictionary=False)
        writer.write_batch(batch)
    writer.close()
    writer = None
    right = numpy.arange(0, keys, 3)
    random.shuffle(right)
    for start in range(0, len(right), BATCH):
        part = right[start : start + BATCH]
        batch = pa.record_batch({"right_key": pa.array(part), "note": labels(random, len(part), LABEL)})
        writer = writer or pyarrow.parquet.ParquetWriter(files / "right.parquet", batch.schema, compression="none", use_dictionary=False)
        writer.write_batch(batch)
    writer.close()
    distinct = int(seen.sum())
    return {
        "rows": rows, "bytes": rows * ROW, "right_rows": len(right), "files": {path.name: path.stat().st_size for path in sorted(files.iterdir())},
        "sort": rows, "dedup": distinct, "group": distinct, "join": matched,
    }


def labels(random, number, width):
    letters = random.integers(97, 123, number * width, dtype="uint8")
    offsets = numpy.arange(0, (number + 1) * width, width, dtype="int32")
    return pa.StringArray.from_buffers(number, pa.py_buffer(offsets), pa.py_buffer(letters))


class Ordered:
    """Sees batches, and whether day and price never go down."""

    def __init__(self):
        self.last, self.kept = (-(1 << 40), -1.0), True

    def __call__(self, batch):
        if not batch.num_rows:
            return
        day = batch.column(batch.schema.get_field_index("day")).cast(pa.int32()).to_numpy().astype("int64")
        price = batch.column(batch.schema.get_field_index("price")).to_numpy()
        later = (day[1:] > day[:-1]) | ((day[1:] == day[:-1]) & (price[1:] >= price[:-1]))
        self.kept = self.kept and bool(later.all()) and self.last <= (day[0], price[0])
        self.last = (day[-1], price[-1])


class Summed:
    """Sees groups, and how many rows they have together."""

    def __init__(self):
        self.rows = 0

    def __call__(self, batch):
        self.rows += int(batch.column(batch.schema.get_field_index("rows")).to_numpy().sum())


def measured(service, name, facts, broken):
    seen = {"sort": Ordered, "group": Summed}.get(name, lambda: None)()
    problem, rows = "", 0
    with ground.Watch(service, *spill(service)) as watch:
        try:
            rows = service.load("left.parquet", [STEPS[name]], each=seen)
        except Exception as error:  # noqa: BLE001
            problem = f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
    right = not problem and rows == facts[name] and getattr(seen, "kept", True) and getattr(seen, "rows", facts["rows"]) == facts["rows"]
    left = gone(service)
    for kept, text in [
        (right, f"{name}: {problem or f'{rows} rows, or their order or sum, are not the {facts[name]} expected'}"),
        (watch.modes <= {0o600}, f"{name}: files with the modes {watch.mode_text()}"),
        (not left, f"{name}: {left} bytes are left in the spill folder"),
    ]:
        if not kept:
            broken.append(text)
    print(f"{name}: {watch.seconds:.1f} s, peak {watch.peak:.0f} MiB, spilled {watch.bytes / 1e6:.0f} MB in {watch.files} files {watch.mode_text()}, left {left} {problem}", flush=True)
    return name, rows, watch, left, problem


def spill(service):
    return [service.data / "spill", service.data / "spool"]


def gone(service, limit=5.0):
    """Bytes that still lie in the spill folders after a while; 0 is wanted."""
    end = time.monotonic() + limit
    while True:
        bytes_left = sum(size for size, _ in ground.lying(spill(service)))
        if not bytes_left or time.monotonic() > end:
            return bytes_left
        time.sleep(0.1)


def kill(stack, service, home, files, settings, broken):
    """Kills the service in the middle of a sort, and looks at what the next one leaves."""
    def load():
        with contextlib.suppress(Exception):
            service.load("left.parquet", [SORT])

    reader = threading.Thread(target=load, daemon=True)
    reader.start()
    end, most = time.monotonic() + 600, 0
    while reader.is_alive() and time.monotonic() < end and most < settings["MEMORY_REQUEST_BYTES"] // 2:
        most = max(most, sum(size for size, _ in [*ground.lying(spill(service)), *ground.held(service.process.pid)]))
        time.sleep(0.05)
    if not most:
        broken.append("kill: nothing was spilled before the sort ended")
    service.process.kill()
    service.process.wait()
    reader.join(60)
    after = sum(size for size, _ in ground.lying(spill(service)))
    start = time.perf_counter()
    again = ground.Service(stack, home, files, **settings)
    ready, left = time.perf_counter() - start, gone(again)
    if left:
        broken.append(f"kill: {left} bytes are left in the spill folder after the restart")
    sound = again.load("right.parquet", [])
    print(f"kill: spilled {most / 1e6:.0f} MB, {after / 1e6:.0f} MB after kill -9, {left} bytes after the restart, {sound} rows read again", flush=True)
    return [
        f"Killed with `kill -9` in the middle of a sort that had spilled {most / 1e6:.0f} MB: {after / 1e6:.0f} MB lay in the spill folder;"
        f" {left} bytes after the restart, which took {ready:.1f} s."
    ]


def report(wanted, facts, rows, killed, broken):
    sizes = ", ".join(f"`{name}` {size / 1e9:.1f} GB" for name, size in facts["files"].items())
    lines = [
        f"Written by `scripts/bench-spill --write`, which ends with an error when a promise is broken. A table of {facts['rows']:,} rows, {facts['bytes'] / 1e9:.1f} GB in"
        f" memory, and one of {facts['right_rows']:,} rows to join it with ({sizes}), read from Parquet, answered as Arrow to pyarrow on the same cores;"
        f" {wanted.memory >> 20} MiB for a request, {wanted.memory * 5 // 4 >> 20} MiB for the service; {ground.machine()}.",
        "",
        "| the table | rows out | s | resident before, peak, MiB | spilled at most, MB | files at most | modes | left behind, bytes |",
        "|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    for name, count, watch, left, problem in rows:
        told = f"{count:,}" if not problem else f"**{problem}**"
        lines.append(f"| {TITLES[name]} | {told} | {watch.seconds:.1f} | {watch.before:.0f}, {watch.peak:.0f} | {watch.bytes / 1e6:.0f} | {watch.files} | {watch.mode_text()} | {left} |")
    if killed:
        lines += ["", *killed]
    lines += ["", f"Promises broken: {'; '.join(broken) or 'none'}."]
    print("\n".join(lines))
    if wanted.write:
        ground.write("bench-spill", "Transforms larger than memory", lines)


main()
