"""A service on a store of its own, a watch over its memory and its disk, and the place of a table in docs/BENCHMARKS.md."""

import json
import os
import pathlib
import platform
import shutil
import stat
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pyarrow as pa
import pyarrow.parquet

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEY = "only-for-benchmarks-on-loopback"
MIB = 1 << 20


class Service:
    """One running service over a folder of files, which is the source `f`. A second one on the same `home` goes on where the first one stopped."""

    def __init__(self, stack, home, files, **settings):
        self.home, self.data = home, home / "data"
        home.chmod(0o755)
        environment = {
            "PATH": os.environ["PATH"],
            "WEIR_LISTEN": "127.0.0.1:0",
            "WEIR_DATA_DIR": str(self.data),
            "WEIR_ADMIN_KEY": KEY,
            "WEIR_FILE_ROOTS": str(files),
            "WEIR_LOG": "warn",
            **{f"WEIR_{name}": str(value) for name, value in settings.items()},
        }
        address = self.data / "address"
        address.unlink(missing_ok=True)
        self.log = home / "weir.log"
        log = open(self.log, "a")
        self.process = subprocess.Popen([os.environ["WEIR_BENCH_BINARY"], "serve"], env=environment, stderr=log, stdout=log)
        stack.callback(self.stop)
        for _ in range(1200):
            if address.exists() and address.read_text().strip():
                break
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        self.base = address.read_text().strip()
        status, text = self.ask("/v1/sources", {"name": "f", "connector": "files", "config": {"root": str(files)}})
        assert status in (200, 201, 409), text

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def open(self, path, body):
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), headers)
        return urllib.request.urlopen(request)

    def ask(self, path, body):
        """Status and text."""
        try:
            with self.open(path, body) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def load(self, stream, steps, columns=None, each=None):
        """Rows of a load as Arrow; `each` sees every batch."""
        body = {"stream": stream, "steps": steps, "timeout_ms": 3_600_000}
        if columns:
            body["columns"] = columns
        try:
            answer = self.open("/v1/sources/f/load.arrow", body)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{error.code}: {error.read().decode(errors='replace')[:600]}") from None
        rows = 0
        with answer, pa.ipc.open_stream(answer) as reader:
            for batch in reader:
                rows += batch.num_rows
                if each:
                    each(batch)
        return rows

    def memory(self, what="VmRSS"):
        """MiB; 0 once it has ended."""
        return memory(self.process.pid, what)

    def forget_peak(self):
        """From here on VmHWM is the peak."""
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


class Watch:
    """Looks at memory and at what lies on disk below `folders` (and at what is unlinked but held), until it is left."""

    def __init__(self, service, *folders):
        self.service, self.folders = service, folders
        self.resident = self.bytes = self.files = 0
        self.modes, self.over = set(), threading.Event()

    def __enter__(self):
        self.service.forget_peak()
        self.before = self.service.memory()
        self.start = time.perf_counter()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.seconds = time.perf_counter() - self.start
        self.over.set()
        self.thread.join()
        self.peak = max(self.service.memory("VmHWM"), self.resident)

    def look(self):
        while not self.over.wait(0.05):
            self.resident = max(self.resident, self.service.memory())
            found = list(lying(self.folders)) + list(held(self.service.process.pid))
            self.bytes = max(self.bytes, sum(size for size, _ in found))
            self.files = max(self.files, len(found))
            self.modes |= {mode for _, mode in found}

    def mode_text(self):
        return " ".join(sorted(f"{mode:04o}" for mode in self.modes)) or "no file"


def memory(pid, what):
    """MiB of a process; 0 once it has ended."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(what)), 0.0)


def lying(folders):
    """Bytes on disk and mode of each file below."""
    for folder in folders:
        for path, _, names in os.walk(folder):
            for name in names:
                try:
                    told = os.lstat(os.path.join(path, name))
                except OSError:
                    continue
                if stat.S_ISREG(told.st_mode):
                    yield told.st_blocks * 512, stat.S_IMODE(told.st_mode)


def held(pid):
    """The same of files that a process holds but that have no name any more."""
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)
    except OSError:
        return
    for number in numbers:
        try:
            target, told = os.readlink(f"{folder}/{number}"), os.stat(f"{folder}/{number}")
        except OSError:
            continue
        if target.endswith(" (deleted)") and not target.startswith("/memfd:") and stat.S_ISREG(told.st_mode):
            yield told.st_blocks * 512, stat.S_IMODE(told.st_mode)


def lineitem(home, scale):
    """The generator's Parquet file of TPC-H lineitem."""
    made = home / "made"
    command = [os.environ["WEIR_BENCH_TPCHGEN"], "parquet", "-s", str(scale), "--tables", "lineitem", "--output-dir", made]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    [source] = made.glob("**/lineitem*.parquet")
    return source


def plain(batch, columns):
    """The columns with text as text, not as views, and decimals as floats."""
    wanted = []
    for name in columns:
        array = batch.column(name)
        if pa.types.is_decimal(array.type):
            array = array.cast(pa.float64())
        elif array.type == pa.string_view():
            array = array.cast(pa.string())
        wanted.append(array)
    return pa.record_batch(wanted, names=columns)


def batches(source, columns, rows=262_144):
    for batch in pyarrow.parquet.ParquetFile(source).iter_batches(rows, columns=columns):
        yield plain(batch, columns)


def machine():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return f"{os.cpu_count()} cores, {platform.machine()}, commit {done.stdout.strip() or 'unknown'}"


def write(name, heading, lines):
    """Puts lines between the markers of `name` in docs/BENCHMARKS.md; the first time under a heading at the end."""
    path = ROOT / "docs" / "BENCHMARKS.md"
    text = path.read_text()
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    part = "\n".join([first, "", *lines, "", last])
    if first in text:
        before, _, rest = text.partition(first)
        _, _, after = rest.partition(last)
        path.write_text(before + part + after)
    else:
        path.write_text(f"{text.rstrip()}\n\n## {heading}\n\n{part}\n")


def room(folder, wanted):
    """Stops when the disk has not that many bytes."""
    free = shutil.disk_usage(folder).free
    assert free > wanted, f"{free >> 30} GiB are free in {folder}, {wanted >> 30} GiB are needed"
