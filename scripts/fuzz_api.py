"""The work of scripts/fuzz-api: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import collections
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT, WANTED = pathlib.Path(sys.argv[1]), int(sys.argv[2])
SECONDS = float(os.environ.get("WEIR_FUZZ_SECONDS", 3600))
SEED = int(os.environ.get("WEIR_FUZZ_SEED") or random.randrange(1 << 31))
FUZZ = ROOT / "tests/clients/fuzz"
ROLES = ["reader", "editor", "admin"]
# Made here so that the dictionaries of schemathesis.toml can name them.
RUNS = ["0198c2a4-6f0e-7c3a-9d52-00000000000" + digit for digit in "1234"]
SAMPLED = re.compile(r'^weir_http_requests_total\{(.*)\} (\d+)$')


def main():
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with contextlib.ExitStack() as stack:
        service = Service(stack)
        service.seed()
        keys = {role: service.key_of(role) for role in ROLES}
        failed = [role for number, role in enumerate(ROLES) if not fuzz(service, role, keys[role], SEED + number * 1000)]
        if failed:
            sys.exit(f"the service and its document disagree, as {', '.join(failed)}; seed {SEED}")


class Service:
    """The service, with things in it that ids can name."""

    def __init__(self, stack):
        if url := os.environ.get("WEIR_FUZZ_URL"):
            self.base, self.key, self.files = url, os.environ["WEIR_FUZZ_KEY"], pathlib.Path(os.environ["WEIR_FUZZ_FILES"])
            return
        home = pathlib.Path(tempfile.mkdtemp(prefix="weir-fuzz-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        # A private Postgres of root runs under another account, which must get in.
        home.chmod(0o755)
        self.files, data = home / "files", home / "data"
        self.files.mkdir()
        self.key = "only-for-fuzzing-on-loopback"
        environment = {
            "PATH": os.environ["PATH"],
            "WEIR_LISTEN": "127.0.0.1:0",
            "WEIR_DATA_DIR": str(data),
            "WEIR_ADMIN_KEY": self.key,
            "WEIR_FILE_ROOTS": str(self.files),
            "WEIR_EGRESS": "127.0.0.0/8,::1/128",
        }
        if given := os.environ.get("WEIR_DATABASE_URL"):
            environment["WEIR_DATABASE_URL"] = given
        process = subprocess.Popen([os.environ["WEIR_FUZZ_BINARY"], "serve"], env=environment, stderr=open(home / "log", "w"), stdout=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        while not (data / "address").exists():
            assert process.poll() is None, (home / "log").read_text()
            time.sleep(0.05)
        self.base = (data / "address").read_text().strip()

    def ask(self, method, path, body=None, key=None, headers=None):
        """The JSON of an answer that must be a success."""
        given = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.base + path, data, given, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return json.loads(text) if text else None

    def seed(self):
        (self.files / "rows.csv").write_text("id,name,price\n" + "".join(f"{n},name {n},{n}.5\n" for n in range(500)))
        (self.files / "more.ndjson").write_text("".join(json.dumps({"n": n, "list": [n, None]}) + "\n" for n in range(50)))
        self.ask("POST", "/v1/sources", {"name": "fuzz-files", "connector": "files", "config": {"root": str(self.files)}, "labels": {"team": "fuzz"}})
        self.ask("POST", "/v1/sources", {"name": "fuzz-sample", "connector": "sample", "labels": {"team": "fuzz"}})
        self.ask("POST", "/v1/credentials", {"name": "fuzz-credential", "fields": {"password": "only for fuzzing"}})
        self.ask("POST", "/v1/api-keys", {"name": "fuzz-victim", "role": "reader"})

    def key_of(self, role):
        key = self.ask("POST", "/v1/api-keys", {"name": f"fuzz-{role}", "role": role})["key"]
        run = RUNS[ROLES.index(role)]
        path = "/v1/sources/sample/load.ndjson"
        asked = urllib.request.Request(
            f"{self.base}{path}?stream=penguins&limit=5", headers={"Authorization": f"Bearer {key}", "weir-run-id": run}
        )
        urllib.request.urlopen(asked, timeout=60).read()
        return key

    def answered(self):
        """How many requests were answered so far, by status."""
        asked = urllib.request.Request(f"{self.base}/metrics", headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        counts = collections.Counter()
        panics = 0
        for line in lines:
            if match := SAMPLED.match(line):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
                counts[int(labels["status"])] += int(match[2])
            elif line.startswith("weir_panics_total "):
                panics = int(line.split()[1])
        return counts, panics


def fuzz(service, role, key, seed):
    """Runs until the requests are made or the time is over; whether nothing was found."""
    before, start = service.answered()[0], time.monotonic()
    rounds, examples, good = 0, 4 if WANTED < 5000 else 30, True
    while good:
        left = SECONDS - (time.monotonic() - start)
        good = once(service, key, seed + rounds, examples, left)
        rounds += 1
        counts, panics = service.answered()
        counts.subtract(before)
        made = sum(counts.values())
        print(f"{role}: {made} requests after {rounds} rounds, {time.monotonic() - start:.0f} s", flush=True)
        if made >= WANTED or time.monotonic() - start >= SECONDS:
            break
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()) if count)
    broken = {status: count for status, count in counts.items() if status in (500, 501, 502) and count}
    print(f"{role}: {made} requests in {time.monotonic() - start:.0f} s; {statuses}; panics {panics}; {'nothing found' if good and not broken else 'FINDINGS'}", flush=True)
    if SECONDS >= 3600 and made < WANTED:
        print(f"{role}: only {made} of {WANTED} requests were made", flush=True)
        good = False
    return good and not broken and not panics


def once(service, key, seed, examples, left):
    """One run of schemathesis over the whole document."""
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    command = [
        program, f"--config-file={FUZZ / 'schemathesis.toml'}", "run", f"{service.base}/openapi.json",
        "--checks=all", "--phases=examples,coverage,fuzzing,stateful", f"--max-examples={examples}", f"--seed={seed}", "--no-color",
    ]
    if left < 3600:
        command.append(f"--max-time={max(int(left), 5)}")
    environment = {**os.environ, "WEIR_FUZZ_ROLE_KEY": key, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(FUZZ), "NO_PROXY": "127.0.0.1"}
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(command, env=environment, cwd=folder).returncode == 0


main()
