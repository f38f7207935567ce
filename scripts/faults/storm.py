"""storm: five thousand connections in one second, plain and encrypted."""

import json
import math
import pathlib
import subprocess
import sys
import time

from .ground import Service, checked_base, until
from .probe import PREVIEW, Probe
from .table import Table, counted, percentile

NAME, TITLE = "storm", "5,000 connections in one second"
PROCESSES = 4
# Previews are looked at in slices of this many seconds.
SLICE = 0.25


def run(ground):
    return [storm(ground, False), storm(ground, True)]


def storm(ground, tls):
    table = Table(NAME + (" over TLS" if tls else ""), TITLE)
    count = 500 if ground.short else 5000
    settings = {}
    if tls:
        folder = ground.home / "storm"
        folder.mkdir(exist_ok=True)
        certificate, key = ground.certificate(folder, "storm")
        settings = {"TLS_CERT": certificate, "TLS_KEY": key}
    table.note(
        f"{count:,} connections from {PROCESSES} processes on the same cores, evenly over a second; each asks for /healthz and stays open until all have their answer or 10 s have passed."
        f"{' Each is a full handshake, whose other half these cores compute, too.' if tls else ''}"
        " Meanwhile two clients ask for previews on kept connections, 100 a second each; back to normal is the end of the last quarter of a second whose p99 was above twice the quiet p99 (and above 20 ms), counted from the last connect."
    )
    preview = {**PREVIEW, "pause": 0.01, "fresh_every": 1 << 30}
    with Service(ground, table, CONNECTIONS=10_000, **settings) as service, Probe(service, {"preview": (2, preview)}) as probe:
        if tls and service.scheme != "https":
            table.promise("serves TLS", "no such setting", "yes", False)
            return table
        time.sleep(1)
        before, fds, memory = service.base(), service.fds(), service.memory()
        quiet = time.monotonic()
        time.sleep(2 if ground.short else 5)
        start = time.monotonic() + 1
        answers, ended, most_fds = callers(service, count, start, tls)
        time.sleep(4)
        back = until(lambda: service.fds() <= fds + 10, 10)
        probe.stop()
        connections(table, answers, count, start)
        normal(table, probe, quiet, start, max(answer["last"] for answer in answers), ended)
        table.figure("resident before, peak, after", f"{memory:.0f}, {service.memory('VmHWM'):.0f}, {service.memory():.0f} MiB")
        table.promise("open files before, at most, after", f"{fds}, {most_fds}, {service.fds()}", "back within 10 s, give or take 10", back is not None)
        checked_base(table, service, before)
    return table


def callers(service, count, start, tls):
    """What each process saw, when all had been let go, and the descriptors that the service had while all were open."""
    processes = []
    for number in range(PROCESSES):
        spec = {"host": service.host, "port": service.port, "from": f"127.0.1.{number + 1}", "count": count // PROCESSES, "seconds": 1.0, "start": start, "tls": tls}
        command = [sys.executable, "-B", pathlib.Path(__file__).with_name("storm_client.py"), json.dumps(spec)]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    try:
        answers = [json.loads(process.stdout.readline()) for process in processes]
        most_fds = service.fds()
    finally:
        for process in processes:
            process.communicate()
    return answers, time.monotonic(), most_fds


def connections(table, answers, count, start):
    outcomes = [outcome for answer in answers for outcome in answer["outcomes"]]
    times = [took for answer in answers for took in answer["times"]]
    right = outcomes.count("200")
    table.figure("connected, answered", f"{sum(answer['connected'] for answer in answers):,}, {right:,} of {count:,}")
    table.figure("the last connect, the last answer", f"{max(answer['last'] for answer in answers) - start:.2f}, {max(answer['ended'] for answer in answers) - start:.2f} s after the first connect")
    table.figure("from connect to answer, p50 / p99", f"{percentile(times, 0.5) * 1e3:.0f} / {percentile(times, 0.99) * 1e3:.0f} ms")
    wrong = [outcome for outcome in outcomes if outcome != "200"]
    table.promise("errors", f"{len(wrong) / count:.1%}: {counted(wrong)}", "at most 30 %", len(wrong) <= 0.3 * count)


def normal(table, probe, quiet, start, last, ended):
    calm = percentile(probe.times("preview", quiet, start), 0.99)
    most = max(2 * calm, 20)
    slow, at = last, start
    while at < ended + 4:
        if percentile(probe.times("preview", at, at + SLICE), 0.99) > most:
            slow = max(slow, at + SLICE)
        at += SLICE
    # A request that began in the storm may still end late.
    late = [sample["at"] + sample["ms"] / 1e3 for sample in probe.between("preview", start, math.inf) if sample["ms"] > most]
    recovered = max([slow, *late]) - last
    during = probe.times("preview", start, last + 0.5)
    table.figure("previews quiet and in the storm, p99", f"{calm:.1f} and {percentile(during, 0.99):.1f} ms")
    table.promise("p99 of previews back to normal after", f"{recovered:.2f} s", "at most 2 s", recovered <= 2)
    failed = probe.failures("preview", quiet, math.inf)
    table.promise("failed previews", f"{len(failed)} of {len(probe.samples)}: {counted(failed)}", "0", not failed)
