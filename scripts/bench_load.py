"""The work of scripts/bench-load: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import contextlib
import glob
import json
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import pyarrow as pa

ROOT, SCALE, ROUNDS = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
LINEITEM = """create table lineitem (
    l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber integer,
    l_quantity numeric(15,2), l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2),
    l_returnflag char(1), l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date,
    l_shipinstruct char(25), l_shipmode char(10), l_comment varchar(44))"""


def main():
    with contextlib.ExitStack() as stack:
        dsn = os.environ.get("WEIR_BENCH_DSN") or database(stack)
        rows = int(psql(dsn, "-Atc", "select count(*) from lineitem"))
        service = Service(stack, dsn)
        psql(dsn, "-qc", "select sum(hashtext(l_comment)) from lineitem")
        paths = {
            "COPY binary into nothing (psql)": lambda: psql(
                dsn, "-qc", "\\copy (select * from lineitem) to '/dev/null' with (format binary)"
            ),
            "Arrow stream, pyarrow reads every batch": lambda: service.arrow(rows),
            "Arrow stream, curl": lambda: service.curl("arrow"),
            "NDJSON, curl": lambda: service.curl("ndjson"),
        }
        idle = service.memory("VmRSS")
        times = {name: [] for name in paths}
        for number in range(ROUNDS):
            for name, run in paths.items():
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
                print(f"round {number + 1}: {name}: {times[name][-1]:.2f} s", flush=True)
        first = [service.first_batch() for _ in range(ROUNDS)]
        report(rows, times, idle, service.memory("VmHWM"), statistics.median(first), psql(dsn, "-Atc", "show server_version"))


def psql(dsn, *arguments):
    done = subprocess.run(["psql", dsn, "-X", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def database(stack):
    """A fresh server with lineitem in it."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))[-1]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    account = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        account = {"user": "postgres", "group": "postgres", "extra_groups": []}
    password = folder / "password"
    password.write_text("only-for-benchmarks")
    port, data = free_port(), folder / "data"
    subprocess.run(
        [f"{programs}/initdb", "--no-sync", "-A", "scram-sha-256", "-U", "postgres", f"--pwfile={password}", "-E", "UTF8", "--locale=C", "-D", data],
        check=True, stdout=subprocess.DEVNULL, cwd=folder, **account,
    )
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "shared_buffers": "1GB", "max_wal_size": "4GB"}
    server = subprocess.Popen(
        [f"{programs}/postgres", "-D", data, *[word for name, value in settings.items() for word in ("-c", f"{name}={value}")]],
        stderr=open(folder / "log", "w"), cwd=folder, **account,
    )
    stack.callback(server.wait)
    stack.callback(server.terminate)
    dsn = f"postgresql://postgres:only-for-benchmarks@127.0.0.1:{port}/postgres"
    while subprocess.run([f"{programs}/pg_isready", "-q", "-d", dsn]).returncode:
        assert server.poll() is None, (folder / "log").read_text()
        time.sleep(0.1)
    psql(dsn, "-qc", LINEITEM)
    rows = folder / "rows"
    rows.mkdir()
    generator = pathlib.Path(sys.executable).parent / "tpchgen-cli"
    subprocess.run([generator, "csv", "-s", SCALE, "--tables", "lineitem", "--output-dir", rows], check=True)
    [table] = rows.glob("**/lineitem*.csv")
    psql(dsn, "-qc", f"\\copy lineitem from '{table}' with (format csv, header)")
    table.unlink()
    psql(dsn, "-qc", "vacuum analyze lineitem")
    return dsn


class Service:
    """The service, with its store beside the data and the source registered."""

    def __init__(self, stack, dsn, settings={}):
        parts = urllib.parse.urlsplit(dsn)
        psql(dsn, "-qc", "drop database if exists weir_bench_store")
        psql(dsn, "-qc", "create database weir_bench_store")
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-data-"))
        stack.callback(shutil.rmtree, self.data, ignore_errors=True)
        environment = {
            "PATH": os.environ["PATH"],
            "WEIR_LISTEN": "127.0.0.1:0",
            "WEIR_DATA_DIR": str(self.data),
            "WEIR_DATABASE_URL": parts._replace(path="/weir_bench_store").geturl(),
            "WEIR_ADMIN_KEY": "only-for-benchmarks-on-loopback",
            **settings,
        }
        self.process = subprocess.Popen([os.environ["WEIR_BENCH_BINARY"], "serve"], env=environment, stderr=open(self.data / "log", "w"), stdout=subprocess.DEVNULL)
        stack.callback(self.process.wait)
        stack.callback(self.process.terminate)
        while not (self.data / "address").exists():
            assert self.process.poll() is None, (self.data / "log").read_text()
            time.sleep(0.05)
        self.base = (self.data / "address").read_text().strip()
        self.key = {"Authorization": f"Bearer {environment['WEIR_ADMIN_KEY']}"}
        config = {"url": dsn, "tls": {"mode": "disable"}}
        body = json.dumps({"name": "tpch", "connector": "postgres", "config": config}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.base}/v1/sources", body, {**self.key, "Content-Type": "application/json"})).read()

    def url(self, suffix):
        return f"{self.base}/v1/sources/tpch/load.{suffix}?stream=lineitem"

    def open(self):
        return urllib.request.urlopen(urllib.request.Request(self.url("arrow"), headers=self.key))

    def arrow(self, rows):
        with self.open() as body, pa.ipc.open_stream(body) as reader:
            read = sum(batch.num_rows for batch in reader)
        assert read == rows, f"{read} rows, not {rows}"

    def first_batch(self):
        start = time.perf_counter()
        with self.open() as body, pa.ipc.open_stream(body) as reader:
            next(iter(reader))
            return time.perf_counter() - start

    def curl(self, suffix):
        header = f"Authorization: {self.key['Authorization']}"
        subprocess.run(["curl", "-sSf", "-o", "/dev/null", "-H", header, self.url(suffix)], check=True)

    def memory(self, name):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def report(rows, times, idle, peak, first, version):
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    base = next(iter(medians.values()))
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. All sides run in the same run on the same data, alternating; only ratios are worth quoting, absolute times depend on the machine.",
        "",
        f"`lineitem`, TPC-H scale {SCALE}, {rows:,} rows, PostgreSQL {version.split()[0]}, {os.cpu_count()} cores, {platform.machine()}, {len(times[next(iter(times))])} rounds,"
        f" commit {commit()}.",
        "",
        "| path | median s | all s | ratio to COPY |",
        "|---|---:|---|---:|",
    ]
    for name, seconds in times.items():
        all_of_them = " ".join(f"{value:.2f}" for value in seconds)
        lines.append(f"| {name} | {medians[name]:.2f} | {all_of_them} | {medians[name] / base:.2f} |")
    lines += [
        "",
        "| the service | |",
        "|---|---:|",
        f"| memory before the first load | {idle:.0f} MiB |",
        f"| peak memory over all loads | {peak:.0f} MiB |",
        f"| first batch at the client, median | {first * 1000:.0f} ms |",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    path = ROOT / "docs/BENCHMARKS.md"
    # What other scripts wrote stands under headings of its own.
    _, heading, others = path.read_text().partition("\n## ")
    path.write_text(text + heading + others)


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
