"""What all parts stand on: a fresh PostgreSQL with lineitem, the same rows as a file, and services on stores of their own."""

import contextlib
import glob
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import psycopg
import pyarrow.csv
import pyarrow.parquet

KEY = "only-for-benchmarks-on-loopback"
AUTHORIZATION = f"Authorization: Bearer {KEY}"
PASSWORD = "only-for-benchmarks"
LINEITEM = """create table lineitem (
    l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber integer,
    l_quantity numeric(15,2), l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2),
    l_returnflag char(1), l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date,
    l_shipinstruct char(25), l_shipmode char(10), l_comment varchar(44))"""
# What the file source gets of lineitem.csv: enough that nobody's buffers hold it.
FILE_BYTES = 96 << 20
OPEN_FILES = 65_536


class Ground:
    """The shared part; `with` ends all of it."""

    def __init__(self, weir, scale, seed, short):
        self.weir, self.scale, self.seed, self.short = weir, scale, seed, short
        self.settings = set(re.findall(r"env: (WEIR_\w+)", self.help()))
        self.stack, self.stores = contextlib.ExitStack(), 0

    def help(self):
        return subprocess.run([self.weir, "serve", "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout

    def __enter__(self):
        raise_open_files()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-faults-"))
        self.stack.callback(shutil.rmtree, self.home, ignore_errors=True)
        self.home.chmod(0o755)
        try:
            self.server()
            self.tables()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *error):
        self.stack.close()

    def server(self):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))[-1]
        folder, account = self.home / "pg", {}
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            account = {"user": "postgres", "group": "postgres", "extra_groups": []}
        (folder / "password").write_text(PASSWORD)
        subprocess.run(
            [f"{programs}/initdb", "--no-sync", "-A", "scram-sha-256", "-U", "postgres", f"--pwfile={folder}/password", "-E", "UTF8", "--locale=C", "-D", folder / "data"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder, **account,
        )
        port = free_port()
        settings = {
            "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
            "shared_buffers": "1GB", "max_wal_size": "4GB", "max_connections": 300, "log_min_messages": "fatal",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        server = subprocess.Popen([f"{programs}/postgres", "-D", folder / "data", *words], stderr=open(folder / "log", "w"), cwd=folder, **account)
        self.stack.callback(server.wait)
        self.stack.callback(server.terminate)
        self.dsn = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}"
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(f"{self.dsn}/postgres").close()
                break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        self.ask("create database tpch")

    def tables(self):
        """lineitem in the database, and its beginning as a Parquet and a CSV file."""
        made, self.files = self.home / "made", self.home / "files"
        self.files.mkdir()
        subprocess.run([os.environ["WEIR_BENCH_TPCHGEN"], "csv", "-s", str(self.scale), "--tables", "lineitem", "--output-dir", made], check=True, stdout=subprocess.DEVNULL)
        [table] = made.glob("**/lineitem*.csv")
        with psycopg.connect(f"{self.dsn}/tpch", autocommit=True) as database:
            database.execute(LINEITEM)
            with database.cursor().copy("copy lineitem from stdin with (format csv, header)") as copy, open(table, "rb") as rows:
                while block := rows.read(1 << 20):
                    copy.write(block)
            database.execute("vacuum analyze lineitem")
            [(self.rows,)] = database.execute("select count(*) from lineitem")
        with open(table, "rb") as rows, open(self.files / "lineitem.csv", "wb") as some:
            head = rows.read(FILE_BYTES)
            some.write(head[: head.rindex(b"\n") + 1])
        shutil.rmtree(made)
        pyarrow.parquet.write_table(pyarrow.csv.read_csv(self.files / "lineitem.csv"), self.files / "lineitem.parquet", compression="zstd", row_group_size=100_000)

    def ask(self, statement, database="postgres"):
        with psycopg.connect(f"{self.dsn}/{database}", autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def backends(self):
        """Sessions at lineitem that are in the middle of something."""
        text = "select count(*) from pg_stat_activity where datname = 'tpch' and backend_type = 'client backend' and state <> 'idle' and pid <> pg_backend_pid()"
        [(count,)] = self.ask(text)
        return count

    def backends_gone(self, limit):
        """Seconds until there are none, or nothing after `limit`."""
        return until(lambda: self.backends() == 0, limit)

    def store(self):
        self.stores += 1
        name = f"store_{self.stores}"
        self.ask(f"create database {name}")
        return name

    def certificate(self, folder, name):
        """A self-signed certificate and its key, as paths."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True, stderr=subprocess.DEVNULL,
        )
        return certificate, key


class Service:
    """One running service. `table` is told what this build cannot be told."""

    def __init__(self, ground, table, store=None, limit=None, sources=True, **settings):
        self.ground, self.scheme, self.limit = ground, "http", limit
        self.store = store or ground.store()
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="service-", dir=ground.home))
        self.data.chmod(0o711)
        missing = sorted(f"WEIR_{name}" for name in settings if f"WEIR_{name}" not in ground.settings)
        if missing:
            table.note(f"This build does not have {', '.join(missing)}.")
        given = {f"WEIR_{name}": str(value) for name, value in settings.items() if f"WEIR_{name}" in ground.settings}
        if "WEIR_TLS_CERT" in given:
            self.scheme = "https"
        environment = {
            "PATH": os.environ["PATH"], "WEIR_LISTEN": "127.0.0.1:0", "WEIR_DATA_DIR": str(self.data), "WEIR_ADMIN_KEY": KEY,
            "WEIR_DATABASE_URL": f"{ground.dsn}/{self.store}", "WEIR_FILE_ROOTS": str(ground.files), "WEIR_LOG": "warn", **given,
        }
        if store and (ground.home / f"{store}.key").exists():
            environment["WEIR_MASTER_KEY"] = (ground.home / f"{store}.key").read_text().strip()
        self.log = self.data / "log"

        def prepare():
            raise_open_files()
            if limit:
                limit.enter()

        self.process = subprocess.Popen([ground.weir, "serve"], env=environment, stderr=open(self.log, "w"), stdout=subprocess.DEVNULL, preexec_fn=prepare)
        try:
            self.started(sources)
        except BaseException:
            self.stop()
            raise

    def started(self, sources):
        path = self.data / "address"
        assert until(lambda: self.process.poll() is not None or (path.exists() and path.read_text().strip()), 60) is not None, "the service did not start"
        assert self.process.poll() is None, self.log.read_text()
        self.host, port = path.read_text().strip().split("://")[-1].rsplit(":", 1)
        self.port = int(port)
        key = self.data / "master.key"
        if key.exists():
            (self.ground.home / f"{self.store}.key").write_text(key.read_text())
        if sources:
            config = {"url": f"{self.ground.dsn}/tpch", "tls": {"mode": "disable"}}
            self.json("/v1/sources", {"name": "tpch", "connector": "postgres", "config": config})
            self.json("/v1/sources", {"name": "files", "connector": "files", "config": {"root": str(self.ground.files)}})

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def get(self, path, body=None, timeout=30):
        """Status and body."""
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.scheme}://{self.host}:{self.port}{path}", json.dumps(body).encode() if body is not None else None, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=trusting() if self.scheme == "https" else None) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, path, body=None):
        status, text = self.get(path, body)
        assert 200 <= status < 300, f"{path}: {status} {text[:300]}"
        return json.loads(text)

    def metrics(self):
        _, text = self.get("/metrics")
        lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def gauges(self):
        """Gauges that go back to where they were when nothing runs."""
        _, text = self.get("/metrics")
        names = set(re.findall(r"^# TYPE (\S+) gauge$", text.decode(), re.M))
        moving = ("resident", "store_connections", "sources_open", "_limit", "uptime", "weir_process")
        return {name: value for name, value in self.metrics().items() if name.split("{")[0] in names and not any(word in name for word in moving)}

    def base(self):
        """Gauges between the requests of whoever asks meanwhile."""
        looks = []
        for _ in range(20):
            looks.append(self.gauges())
            time.sleep(0.02)
        return {name: min(look.get(name, value) for look in looks) for name, value in looks[-1].items()}

    def panics(self):
        """Panics counted, and panics in the log."""
        told = sum(value for name, value in self.metrics().items() if name.startswith("weir_panics_total"))
        return int(told) + self.log.read_text(errors="replace").count("panicked at")

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def memory(self, what="VmRSS"):
        """MiB; none once it was killed."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{what}:\s+(\d+)", status, re.M)
        return int(found.group(1)) / 1024 if found else 0.0

    def held(self):
        """Ports of the peers whose connections the process holds."""
        mine, ports = f":{self.port:04X}", set()
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, _, _, _, _, _, inode, *_ = line.split()
            if local.endswith(mine) and inode != "0" and remote[-4:] != "0000":
                ports.add(int(remote[-4:], 16))
        return ports


def checked_base(table, service, before, limit=2.0):
    """Promises that no gauge is above where it was."""

    def above():
        return [f"{name} {before.get(name, 0):g} → {value:g}" for name, value in service.gauges().items() if value > before.get(name, 0)]

    took = until(lambda: not above(), limit)
    apart = above()
    table.promise("gauges of /metrics back at their base", "all" if took is not None else "; ".join(apart), f"within {limit:g} s", took is not None)
    panics = service.panics()
    table.promise("panics", panics, "0", panics == 0)


def until(wanted, limit):
    """Seconds until `wanted` holds, or nothing after `limit`."""
    start = time.monotonic()
    while True:
        if wanted():
            return time.monotonic() - start
        if time.monotonic() - start > limit:
            return None
        time.sleep(0.05)


def trusting():
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raise_open_files():
    """As far as this account may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (max(hard, OPEN_FILES), hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            return
