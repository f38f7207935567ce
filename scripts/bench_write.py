"""The work of scripts/bench-write: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from bench_load import ROUNDS, Service, database, psql


def main():
    with contextlib.ExitStack() as stack:
        dsn = os.environ.get("WEIR_BENCH_DSN") or database(stack)
        rows = int(psql(dsn, "-Atc", "select count(*) from lineitem"))
        service = Service(stack, dsn, {"WEIR_BODY_BYTES": str(1 << 40)})
        folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-bodies-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for suffix in ["arrow", "csv", "ndjson"]:
            with open(folder / f"rows.{suffix}", "wb") as body:
                subprocess.run(curl(service, f"load.{suffix}?stream=lineitem"), check=True, stdout=body)
        binary = folder / "rows.binary"
        psql(dsn, "-qc", f"\\copy lineitem to '{binary}' with (format binary)")
        psql(dsn, "-qc", "create table target (like lineitem)")
        paths = {
            "COPY FROM binary (psql)": lambda: psql(dsn, "-qc", f"\\copy target from '{binary}' with (format binary)"),
            "append, Arrow stream": lambda: write(service, folder, "arrow", "append"),
            "append, CSV": lambda: write(service, folder, "csv", "append"),
            "append, NDJSON": lambda: write(service, folder, "ndjson", "append"),
            "replace, Arrow stream": lambda: write(service, folder, "arrow", "replace"),
        }
        times = {name: [] for name in paths}
        for number in range(ROUNDS):
            for name, run in paths.items():
                psql(dsn, "-qc", "truncate target")
                psql(dsn, "-qc", "checkpoint")
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
                print(f"round {number + 1}: {name}: {times[name][-1]:.2f} s", flush=True)
                written = int(psql(dsn, "-Atc", "select count(*) from target"))
                assert written == rows, f"{name} wrote {written} of {rows} rows"
        print(f"\n{rows:,} rows, median of {ROUNDS}; most memory of the service: {service.memory('VmHWM'):.0f} MiB\n")
        print("| way | s | ratio to COPY FROM |\n|---|---:|---:|")
        base = statistics.median(times["COPY FROM binary (psql)"])
        for name, taken in times.items():
            median = statistics.median(taken)
            print(f"| {name} | {median:.2f} | {median / base:.2f} |")


def curl(service, path):
    header = f"Authorization: {service.key['Authorization']}"
    return ["curl", "-sSf", "-H", header, f"{service.base}/v1/sources/tpch/{path}"]


def write(service, folder, suffix, mode):
    media = {"arrow": "application/vnd.apache.arrow.stream", "csv": "text/csv", "ndjson": "application/x-ndjson"}[suffix]
    command = curl(service, f"write?stream=target&mode={mode}") + ["-H", f"Content-Type: {media}", "-T", folder / f"rows.{suffix}", "-X", "POST"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
