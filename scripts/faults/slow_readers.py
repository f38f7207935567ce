"""slow-readers: many clients that read a large table slowly, in little memory."""

import asyncio
import time

from .ground import Service, checked_base
from .limit import MemoryLimit
from .probe import HEALTH, PREVIEW, Probe
from .stream import Stream
from .table import Table, counted, percentile, told

NAME, TITLE = "slow-readers", "64 slow readers of lineitem in 512 MiB"
FORMATS = ["arrow", "json", "csv", "parquet"]
MOST, RATE = 512 << 20, 256 << 10
# A reader who takes something now and then must not be taken for one who stands still.
WRITE_STALL = 20


def run(ground):
    table = Table(NAME, TITLE)
    readers, seconds = (12, 6) if ground.short else (64, 60)
    with MemoryLimit(MOST) as limit:
        table.note(
            f"{readers} loads of `lineitem` of a PostgreSQL (80 connections, 80 loads of a key allowed), {' '.join(FORMATS)} in turn, each read at {RATE >> 10} KiB/s for {seconds} s, then hung up."
            f" The service may have {MOST >> 20} MiB ({limit.mechanism}; its PostgreSQL and the clients stand outside); write stall {WRITE_STALL} s, which no steady reader may run into."
        )
        settings = {"SOURCE_CONNECTIONS": 80, "LOADS_PER_KEY": 80, "WRITE_STALL_MS": WRITE_STALL * 1000}
        with Service(ground, table, limit=limit, **settings) as service, Probe(service, {"preview": (2, PREVIEW), "health": (1, HEALTH)}) as probe:
            time.sleep(1)
            before, memory, most = service.base(), service.memory(), service.json("/v1/limits").get("memory_bytes", 0)
            table.note(f"By its own limits it takes {most >> 20} MiB for rows.")
            quiet = time.monotonic()
            time.sleep(2 if ground.short else 5)
            start = time.monotonic()
            everybody, peak = asyncio.run(read(service, readers, seconds))
            end = time.monotonic()
            gone = ground.backends_gone(2)
            alive = service.process.poll() is None
            probe.stop()
            answers(table, everybody, ground, service)
            calm, during = (percentile(probe.times("preview", *window), 0.99) for window in ((quiet, start), (start, end)))
            table.figure("previews quiet and meanwhile, p99", f"{calm:.1f}, {during:.1f} ms")
            failed = probe.failures("preview", quiet, end)
            table.promise("failed previews", f"{len(failed)} of {len(probe.between('preview', quiet, end))}: {counted(failed)}", "none but 429 and 503 with a code", all(told(code) for code in failed))
            table.figure("/healthz meanwhile, p99", f"{percentile(probe.times('health', start, end), 0.99):.1f} ms")
            table.figure("resident before, peak", f"{memory:.0f}, {peak:.0f} MiB")
            if limit.peak():
                table.figure("peak as the limit counts it, with page cache and sockets", f"{limit.peak():.0f} MiB")
            table.promise("killed for memory", limit.kills(), "0, and still running", limit.kills() == 0 and alive and peak <= MOST >> 20)
            table.promise("queries left in the source", ground.backends(), "0 after 2 s", gone is not None)
            if alive:
                table.figure("resident afterwards", f"{service.memory():.0f} MiB")
                checked_base(table, service, before)
    return [table]


class Reader:
    """One of them, who comes again when it is told to."""

    def __init__(self, service, kind):
        self.service, self.kind, self.refusals, self.stream = service, kind, [], None

    async def run(self, end):
        while True:
            self.began = time.monotonic()
            self.stream = Stream(self.service, f"/v1/sources/tpch/load.{self.kind}?stream=lineitem", rate=RATE, buffer=64 << 10)
            await self.stream.run()
            if self.stream.status not in (429, 503):
                return
            self.refusals.append(f"{self.stream.code()}{'' if 'retry-after' in self.stream.headers else ' without Retry-After'}")
            wait = min(5.0, float(self.stream.headers.get("retry-after", 1)))
            if time.monotonic() + wait > end:
                return
            await asyncio.sleep(wait)


async def read(service, readers, seconds):
    """Reads until the time is over; what each reader saw, and the most that was resident."""
    everybody = [Reader(service, FORMATS[number % len(FORMATS)]) for number in range(readers)]
    tasks, end = [], time.monotonic() + seconds
    for reader in everybody:
        tasks.append(asyncio.create_task(reader.run(end)))
        await asyncio.sleep(0.05)
    peak = 0
    while time.monotonic() < end and service.process.poll() is None:
        # There is nobody to ask once it was killed.
        peak = max(peak, service.memory("VmHWM"))
        await asyncio.sleep(0.25)
    for reader in everybody:
        reader.stream.hang_up = True
    # Those that wait for bytes do not see that the time is over.
    await asyncio.wait(tasks, timeout=2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for reader in everybody:
        reader.stream.end = reader.stream.end or ("cut" if reader.stream.status else "no answer in time")
    return everybody, peak


def answers(table, everybody, ground, service):
    for kind in FORMATS:
        these = [reader.stream for reader in everybody if reader.kind == kind]
        rates = [reader.stream.bytes / max(0.1, reader.stream.ended_at - reader.began) / 1024 for reader in everybody if reader.kind == kind and reader.stream.status == 200]
        table.figure(f"{kind}: answers in the end, and how fast they came, least / median", f"{counted([stream.code() for stream in these])}; {min(rates, default=0):.0f} / {percentile(rates, 0.5):.0f} KiB/s")
    silent = [reader for reader in everybody if reader.stream.status is None]
    table.promise("without an answer", f"{len(silent)}: {counted([reader.stream.end for reader in silent])}", "0", not silent)
    refusals = [text for reader in everybody for text in reader.refusals]
    table.promise("refusals, after which they came again", f"{len(refusals)}: {counted(refusals)}", "429 or 503 with a code and Retry-After", all(told(text) for text in refusals))
    broken = [reader for reader in everybody if reader.stream.status == 200 and reader.stream.end not in ("cut", "complete")]
    records = dict(ground.ask("select id::text, coalesce(error_code, status) from runs", service.store)) if broken else {}
    texts = [f"{reader.kind} {records.get(reader.stream.headers.get('weir-run-id'))} after {reader.stream.ended_at - reader.began:.0f} s" for reader in broken]
    table.promise("broken off by the service after a 200", f"{len(broken)}: {counted(texts)}", "0", not broken)
