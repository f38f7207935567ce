"""The work of scripts/bench-faults: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import argparse
import os
import pathlib
import platform
import random
import re
import signal
import subprocess
import sys
import time
import traceback

from faults import hang_ups, health, sigterm, slow_readers, slow_sockets, storm, tls_reload
from faults.ground import Ground
from faults.table import Table

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = {part.NAME: part for part in (slow_sockets, storm, slow_readers, sigterm, health, tls_reload, hang_ups)}
HEADING = "## Faults"


def main():
    parser = argparse.ArgumentParser(prog="bench-faults")
    parser.add_argument("weir")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--write", action="store_true")
    wanted = parser.parse_intermixed_args()
    unknown = set(wanted.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    # What was started ends with this, too, when it is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {wanted.seed}", flush=True)
    tables = []
    with Ground(os.path.abspath(wanted.weir), wanted.scale, wanted.seed, wanted.short) as ground:
        for name in wanted.parts or PARTS:
            tables += measured(PARTS[name], ground)
        head = described(ground)
    if wanted.write:
        write(head, tables)
    broken = [text for table in tables for text in table.broken]
    print("\n".join([f"{len(broken)} promises broken", *broken]))
    sys.exit(1 if broken else 0)


def measured(part, ground):
    """The tables of a part; one that fails is a broken promise, and the others go on."""
    start = time.monotonic()
    random.seed(ground.seed)
    try:
        tables = part.run(ground)
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        table = Table(part.NAME, part.TITLE)
        table.promise("the part ran to its end", f"{type(error).__name__}: {error}".replace("\n", " ")[:200], "yes", False)
        tables = [table]
    for table in tables:
        print(f"\n{table.text()}", flush=True)
    print(f"{part.NAME} took {time.monotonic() - start:.0f} s\n", flush=True)
    return tables


def described(ground):
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
    return (
        f"Written by `scripts/bench-faults path/to/weir --write`, which ends with an error when a promise is broken. Clients, service and PostgreSQL share"
        f" {os.cpu_count()} cores, {platform.machine()}; `lineitem`, {ground.rows:,} rows; seed {ground.seed}; commit {commit or 'unknown'}."
    )


def write(head, tables):
    """Replaces this section of docs/BENCHMARKS.md, and in it the tables that were measured now."""
    path = ROOT / "docs" / "BENCHMARKS.md"
    before, found, rest = path.read_text().partition(f"{HEADING}\n")
    section, following, others = rest.partition("\n## ") if found else ("", "", "")
    kept = {text.split(":")[0]: text for text in re.split(r"^### ", section, flags=re.M)[1:]}
    kept.update({table.name: table.text().removeprefix("### ") for table in tables})
    body = "\n".join(f"### {text.strip()}\n" for text in kept.values())
    path.write_text(f"{before.rstrip()}\n\n{HEADING}\n\n{head}\n\n{body}{following}{others}")


if __name__ == "__main__":
    main()
