"""The work of scripts/bench-systems: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import contextlib
import glob
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

import duckdb
import pyarrow.csv
import pyarrow.parquet

from transforms import ground

ARGUMENTS = [word for word in sys.argv[1:] if word != "--write"]
ROUNDS = int(ARGUMENTS[0]) if ARGUMENTS else 3
SCALE, PASSWORD = "0.1667", "only-for-benchmarks"
COLUMNS = """l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber integer,
    l_quantity decimal(15,2), l_extendedprice decimal(15,2), l_discount decimal(15,2), l_tax decimal(15,2),
    l_returnflag varchar(1), l_linestatus varchar(1), l_shipdate date, l_commitdate date, l_receiptdate date,
    l_shipinstruct varchar(25), l_shipmode varchar(10), l_comment varchar(44)"""


def run(command, **options):
    subprocess.run([str(word) for word in command], check=True, stdout=options.pop("stdout", subprocess.DEVNULL), **options)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(stack, command, folder, account, ready):
    """A server that ends with the stack."""
    server = subprocess.Popen([str(word) for word in command], stderr=open(folder / "log", "w"), stdout=subprocess.DEVNULL, cwd=folder, **account)
    stack.callback(server.wait)
    stack.callback(server.terminate)
    for _ in range(600):
        if ready():
            return
        assert server.poll() is None, (folder / "log").read_text()
        time.sleep(0.1)
    raise RuntimeError((folder / "log").read_text())


def account(name, folder):
    """What a server runs as: those of databases refuse to be root."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, name, name)
    return {"user": name, "group": name, "extra_groups": []}


class Postgres:
    title, tool = "PostgreSQL", "psql, binary COPY"

    def __init__(self, stack, home, files, csv):
        folder = home / "pg"
        folder.mkdir()
        run_as = account("postgres", folder)
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))[-1]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        port, data = free_port(), folder / "data"
        run([f"{programs}/initdb", "--no-sync", "-A", "scram-sha-256", "-U", "postgres", f"--pwfile={secret}", "-E", "UTF8", "--locale=C", "-D", data], cwd=folder, **run_as)
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_buffers": "1GB", "max_wal_size": "4GB"}
        command = [f"{programs}/postgres", "-D", data, *[word for name, value in settings.items() for word in ("-c", f"{name}={value}")]]
        self.dsn = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
        serve(stack, command, folder, run_as, lambda: subprocess.run([f"{programs}/pg_isready", "-q", "-d", self.dsn]).returncode == 0)
        self.config = {"connector": "postgres", "config": {"url": self.dsn, "tls": {"mode": "disable"}}}
        self.rows = folder / "rows"
        self.sql(f"create table lineitem ({COLUMNS})", f"\\copy lineitem from '{csv}' with (format csv, header)", "vacuum analyze lineitem")

    def sql(self, *texts):
        run(["psql", self.dsn, "-Xq", *[word for text in texts for word in ("-c", text)]])

    def stream(self, name):
        return f"public.{name}"

    def bulk_out(self):
        self.sql(f"\\copy lineitem to '{self.rows}' with (format binary)")

    def bulk_in(self, name):
        self.sql(f"create table {name} ({COLUMNS})", f"\\copy {name} from '{self.rows}' with (format binary)")


class Mysql:
    title, tool = "MariaDB", "mariadb --quick; LOAD DATA LOCAL"

    def __init__(self, stack, home, files, csv):
        folder = home / "my"
        folder.mkdir()
        run_as = account("mysql", folder)
        data, self.port = folder / "data", free_port()
        run(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", *(["--user=mysql"] if run_as else [])], cwd=folder, stderr=subprocess.DEVNULL)
        socket_path = folder / "s"
        command = [shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}", f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={socket_path}", "--local-infile=1", "--innodb-buffer-pool-size=1G"]
        serve(stack, command, folder, run_as, socket_path.exists)
        self.client = ["mariadb", "--no-defaults", "--local-infile=1", "-h", "127.0.0.1", "-P", self.port, "-u", "bench", f"-p{PASSWORD}", "bench"]
        text = f"create database bench; create user bench@'127.0.0.1' identified by '{PASSWORD}'; grant all on bench.* to bench@'127.0.0.1'"
        run(["mariadb", "--no-defaults", "-S", socket_path, "-u", "root", "-e", text])
        config = {"host": "127.0.0.1", "port": self.port, "user": "bench", "password": PASSWORD, "database": "bench", "tls": {"mode": "disable"}}
        self.config = {"connector": "mysql", "config": config}
        self.rows = folder / "rows.tsv"
        load = f"load data local infile '{csv}' into table lineitem fields terminated by ',' optionally enclosed by '\"' ignore 1 lines"
        self.sql(f"create table lineitem ({COLUMNS}); {load}")

    def sql(self, text, **options):
        run([*self.client, "-e", text], **options)

    def stream(self, name):
        return f"bench.{name}"

    def bulk_out(self):
        with open(self.rows, "wb") as out:
            run([*self.client, "--quick", "--skip-column-names", "--batch", "-e", "select * from lineitem"], stdout=out)

    def bulk_in(self, name):
        self.sql(f"create table {name} ({COLUMNS}); load data local infile '{self.rows}' into table {name}")


class Sqlite:
    title, tool = "SQLite", "sqlite3 -csv; .import"

    def __init__(self, stack, home, files, csv):
        self.csv, self.database = csv, files / "bench.sqlite"
        self.out, self.beside = home / "out.csv", home / "bulk.sqlite"
        run(["sqlite3", self.database, f"create table lineitem ({COLUMNS})", ".mode csv", f".import --skip 1 {csv} lineitem"])
        self.config = {"connector": "sqlite", "config": {"path": str(self.database)}}

    def stream(self, name):
        return name

    def bulk_out(self):
        with open(self.out, "wb") as out:
            run(["sqlite3", "-csv", self.database, "select * from lineitem"], stdout=out)

    def bulk_in(self, name):
        run(["sqlite3", self.beside, f"create table {name} ({COLUMNS})", ".mode csv", f".import {self.out} {name}"])


class Duckdb:
    title, tool = "DuckDB", "COPY, Parquet, in Python"

    def __init__(self, stack, home, files, csv):
        self.database, self.beside, self.rows = files / "bench.duckdb", home / "bulk.duckdb", home / "rows.parquet"
        with duckdb.connect() as connection:
            # In the form that every release of the library reads.
            connection.execute(f"attach '{self.database}' as made (storage_version 'v1.0.0')")
            connection.execute(f"use made; create table lineitem ({COLUMNS})")
            connection.execute(f"copy lineitem from '{csv}' (header)")
        shutil.copy(self.database, self.beside)
        self.config = {"connector": "duckdb", "config": {"path": str(self.database)}}

    def stream(self, name):
        return f"main.{name}"

    def bulk_out(self):
        with duckdb.connect(str(self.beside)) as connection:
            connection.execute(f"copy lineitem to '{self.rows}' (format parquet)")

    def bulk_in(self, name):
        with duckdb.connect(str(self.beside)) as connection:
            connection.execute(f"create table {name} ({COLUMNS})")
            connection.execute(f"copy {name} from '{self.rows}' (format parquet)")


class Files:
    title, tool = "Files (CSV)", "pyarrow, csv"

    def __init__(self, stack, home, files, csv):
        self.csv, self.out = files / "lineitem.csv", home / "out.csv"
        shutil.copy(csv, self.csv)
        self.config = {"connector": "files", "config": {"root": str(files)}}

    def stream(self, name):
        return f"{name}.csv"

    def bulk_out(self):
        self.table = pyarrow.csv.read_csv(self.csv)

    def bulk_in(self, name):
        pyarrow.csv.write_csv(self.table, self.out)


SYSTEMS = {"postgres": Postgres, "mysql": Mysql, "sqlite": Sqlite, "duckdb": Duckdb, "files": Files}


def main():
    wanted = os.environ.get("WEIR_BENCH_ONLY", "").split() or list(SYSTEMS)
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-systems-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        home.chmod(0o755)
        files = home / "files"
        files.mkdir()
        source = ground.lineitem(home, SCALE)
        csv, rows = home / "rows.csv", pyarrow.parquet.ParquetFile(source).metadata.num_rows
        with duckdb.connect() as connection:
            connection.execute(f"copy (select * from '{source}') to '{csv}' (format csv, header)")
        settings = {"BODY_BYTES": 1 << 40}
        if "duckdb" in wanted:
            settings["DUCKDB_LIB"] = os.environ["WEIR_DUCKDB_LIB"]
        service = ground.Service(stack, home, files, **settings)
        lines = [f"{rows:,} rows of `lineitem`, {ground.machine()}, median of {ROUNDS} alternating rounds. Reads go through HTTP as an Arrow stream into nothing, writes (`mode=fail`, a new table) come from an Arrow file.", ""]
        lines += ["| system | its own bulk tool | read s | its tool s | ratio | write s | its tool s | ratio | peak MiB, read / write |", "|---|---|---:|---:|---:|---:|---:|---:|---:|"]
        for name in wanted:
            lines.append(measure(SYSTEMS[name](stack, home, files, csv), name, service, home, rows))
            print(lines[-1], flush=True)
    print("\n".join(lines))
    if "--write" in sys.argv:
        ground.write("bench-systems", "Every system beside its own bulk tool", lines)


def measure(system, name, service, home, rows):
    status, text = service.ask("/v1/sources", {"name": name, **system.config})
    assert status == 201, text
    body = home / "rows.arrow"
    peaks = {"read": 0, "write": 0}
    seconds = {"read": [], "bulk out": [], "write": [], "bulk in": []}

    def timed(what, work):
        start = time.perf_counter()
        work()
        seconds[what].append(time.perf_counter() - start)

    def of_service(what, work):
        service.forget_peak()
        timed(what, work)
        peaks[what] = max(peaks[what], service.memory("VmHWM"))

    curl(service, f"{name}/load.arrow?stream={quoted(system.stream('lineitem'))}", body, [])
    for number in range(ROUNDS):
        timed("bulk out", system.bulk_out)
        of_service("read", lambda: curl(service, f"{name}/load.arrow?stream={quoted(system.stream('lineitem'))}", "/dev/null", []))
        timed("bulk in", lambda: system.bulk_in(f"bulk_{number}"))
        target = system.stream(f"written_{number}")
        sent = ["-H", "Content-Type: application/vnd.apache.arrow.stream", "-X", "POST", "-T", body]
        of_service("write", lambda: curl(service, f"{name}/write?stream={quoted(target)}&mode=fail", home / "answer", sent))
        assert f'"rows_written":{rows},' in (home / "answer").read_text(), (home / "answer").read_text()
        print(name, {what: round(values[-1], 2) for what, values in seconds.items()}, flush=True)
    median = {what: statistics.median(values) for what, values in seconds.items()}
    cells = [system.title, system.tool]
    for ours, theirs in (("read", "bulk out"), ("write", "bulk in")):
        cells += [f"{median[ours]:.2f}", f"{median[theirs]:.2f}", f"{median[ours] / median[theirs]:.2f}"]
    return f"| {' | '.join(cells)} | {peaks['read']:.0f} / {peaks['write']:.0f} |"


def quoted(text):
    return urllib.parse.quote(text)


def curl(service, path, out, arguments):
    run(["curl", "-sSf", "-o", out, "-H", f"Authorization: Bearer {ground.KEY}", *arguments, f"{service.base}/v1/sources/{path}"])


if __name__ == "__main__":
    main()
