"""The work of scripts/bench-profile: see there. Everything it starts is on 127.0.0.1 and ends with it."""

import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error

from transforms import ground

ARGUMENTS = [word for word in sys.argv[1:] if word != "--write"]
SCALE = ARGUMENTS[0] if ARGUMENTS else "1"
ROUNDS = int(ARGUMENTS[1]) if len(ARGUMENTS) > 1 else 3
SIDES = ["pandas", "exact", "large", "approximate"]
TITLES = {"pandas": "pandas", "exact": "Weir, exact", "large": "Weir, exact, 4 GiB for the request", "approximate": "Weir, approximate"}
PEER = ground.ROOT / "scripts/profile/peer_pandas.py"


def main():
    sides = os.environ.get("WEIR_BENCH_ONLY", "").split() or SIDES
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-profile-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        # The account of the private PostgreSQL passes it.
        home.chmod(0o755)
        files = home / "files"
        files.mkdir()
        file = files / "lineitem.parquet"
        shutil.move(ground.lineitem(home, SCALE), file)
        services = {}
        if {"exact", "approximate"} & set(sides):
            services["exact"] = services["approximate"] = service(stack, home / "plain", files)
        if "large" in sides:
            services["large"] = service(stack, home / "large", files, MEMORY_REQUEST_BYTES=4 << 30, MEMORY_BYTES=5 << 30)
        idle = {side: one.memory() for side, one in services.items()}
        seconds, peaks, answers = {}, {}, {}
        for number in range(ROUNDS):
            for side in sides:
                found = peer(file) if side == "pandas" else over_http(services[side], side)
                took, peaks_now, answers[side] = found
                for name, value in took.items():
                    seconds.setdefault((side, name), []).append(value)
                peaks[side] = max(peaks.get(side, 0), peaks_now)
                told = " ".join(f"{name} {value:.2f}" for name, value in took.items())
                print(f"round {number + 1}: {side}: {told} s, {peaks_now:.0f} MiB", flush=True)
        if "pandas" in sides and "exact" in sides:
            agree(answers["exact"], answers["pandas"])
        lines = report(sides, seconds, peaks, idle, answers)
    print("\n".join(lines))
    if "--write" in sys.argv:
        ground.write("bench-profile", "Profile", lines)


def service(stack, home, files, **settings):
    home.mkdir()
    return ground.Service(stack, home, files, **settings)


def peer(file):
    """Runs the peer; its peak is that of the process."""
    command = [sys.executable, "-B", str(PEER), str(file)]
    peak = 0.0
    with tempfile.TemporaryFile() as told, subprocess.Popen(command, stdout=told) as process:
        while process.poll() is None:
            peak = max(peak, ground.memory(process.pid, "VmHWM"))
            time.sleep(0.02)
        assert process.returncode == 0, f"pandas ended with {process.returncode}"
        told.seek(0)
        answer = json.loads(told.read())
    return answer.pop("seconds"), peak, answer


def over_http(one, side):
    body = {"stream": "lineitem.parquet", "approximate": side == "approximate", "timeout_ms": 3_600_000}
    one.forget_peak()
    start = time.perf_counter()
    try:
        with one.open("/v1/sources/f/profile", body) as given:
            answer = json.loads(given.read())
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{error.code}: {error.read().decode(errors='replace')[:600]}") from None
    return {"profile": time.perf_counter() - start}, one.memory("VmHWM"), answer


def agree(ours, theirs):
    """Both computed the same: what pandas found is there, value by value."""
    differ = []
    for name, wanted in theirs["dataset"].items():
        compare(differ, name, ours["dataset"].get(name), wanted)
    for column, wanted in theirs["columns"].items():
        found = ours["columns"][column]["statistics"]
        for name, value in wanted.items():
            compare(differ, f"{column} {name}", found.get(name), value)
    assert not differ, "the two do not agree:\n" + "\n".join(differ[:40])


def compare(differ, name, found, wanted):
    if not same(found, wanted):
        differ.append(f"{name}: {str(found)[:200]}, not {str(wanted)[:200]}")


def same(found, wanted):
    if isinstance(wanted, dict):
        return isinstance(found, dict) and list(found) == list(wanted) and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        return isinstance(found, (int, float)) and abs(found - wanted) <= 1e-6 * max(1.0, abs(wanted))
    return found == wanted


def report(sides, seconds, peaks, idle, answers):
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    rows = next(iter(answers.values()))["dataset"]["row_count"]
    lines = [
        f"Written by `scripts/bench-profile --write`. `lineitem`, TPC-H scale {SCALE}, {rows:,} rows, 16 columns, all statistics; {ground.machine()};"
        f" median of {ROUNDS} alternating rounds.",
        "",
        "pandas (`scripts/profile/peer_pandas.py`) has the table in memory before its time starts; Weir reads the Parquet file within its own. Both give the same figures, which the script checks.",
        "",
        "| | s | all s | ÷ pandas | peak MiB | before MiB |",
        "|---|---:|---|---:|---:|---:|",
    ]
    base = medians.get(("pandas", "profile"))
    for side in sides:
        own = medians[side, "profile"]
        each = " ".join(f"{value:.2f}" for value in seconds[side, "profile"])
        against = f"{own / base:.3f}" if base else ""
        before = f"{idle[side]:.0f}" if side in idle else ""
        lines.append(f"| {TITLES[side]} | {own:.2f} | {each} | {against} | {peaks[side]:.0f} | {before} |")
    if "pandas" in sides:
        lines += ["", f"pandas took {medians['pandas', 'read']:.2f} s more to read the file."]
    if {"exact", "approximate"} <= set(sides):
        lines += ["", *errors(answers["exact"], answers["approximate"])]
    return lines


def errors(exact, about):
    """How far off each estimate is, the worst column of each statistic."""
    worst, rows = {}, exact["dataset"]["row_count"]
    for column, named in about.get("approximate", {}).get("columns", {}).items():
        found, wanted = about["columns"][column]["statistics"], exact["columns"][column]["statistics"]
        for name in named:
            error, unit = off(name, found.get(name), wanted.get(name), rows)
            if error is not None and error >= worst.get(name, (-1.0,))[0]:
                worst[name] = (error, unit, column)
    if not worst:
        return ["No statistic was estimated: all of them had room for the whole table."]
    lines = ["Errors of the estimates against the exact answer, of the column where they are largest:", "", "| statistic | error | of | column |", "|---|---:|---|---|"]
    for name, (error, unit, column) in sorted(worst.items()):
        lines.append(f"| `{name}` | {error:.4%} | {unit} | `{column}` |")
    return lines


def off(name, found, wanted, rows):
    """The error, and what it is a share of: counts of values are told against all rows, figures against themselves, those of plots by the worst member."""
    if name == "mode_ratio":
        return abs(found - wanted), "rows"
    if name == "value_counts" or name.endswith("_distribution"):
        return max((abs(found.get(value, 0) - count) / rows for value, count in wanted.items()), default=0.0), "rows"
    members = [(found.get(key), value) for key, value in wanted.items()] if isinstance(wanted, dict) else [(found, wanted)]
    shares = [abs(one - other) / abs(other) for one, other in members if is_figure(one) and is_figure(other) and other]
    # Which value the mode is says nothing where all are rare; `mode_ratio` does.
    return (None if name == "mode" else max(shares, default=None)), "the exact figure"


def is_figure(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


main()
