"""slow-readers: many clients that read a large table slowly, in little memory."""

import asyncio
import time

from .ground import Service, checked_base, until
from .limit import MemoryLimit
from .probe import HEALTH, PREVIEW, Probe
from .stream import Stream
from .table import Table, counted, percentile

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
            before, memory = service.gauges(), service.memory()
            quiet = time.monotonic()
            time.sleep(2 if ground.short else 5)
            start = time.monotonic()
            streams, peak = asyncio.run(read(service, readers, seconds))
            end = time.monotonic()
            gone = ground.backends_gone(2)
            alive = service.process.poll() is None
            probe.stop()
            answers(table, streams, end - start)
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
                until(lambda: service.gauges() == before, 2)
                table.figure("resident afterwards", f"{service.memory():.0f} MiB")
                checked_base(table, service, before)
    return [table]


async def read(service, readers, seconds):
    """Reads until the time is over; what each reader saw, and the most that was resident."""
    streams = [Stream(service, f"/v1/sources/tpch/load.{FORMATS[number % len(FORMATS)]}?stream=lineitem", rate=RATE, buffer=64 << 10) for number in range(readers)]
    tasks = []
    for stream in streams:
        tasks.append(asyncio.create_task(stream.run()))
        await asyncio.sleep(0.02)
    end, peak = time.monotonic() + seconds, 0
    while time.monotonic() < end and service.process.poll() is None:
        # There is nobody to ask once it was killed.
        peak = max(peak, service.memory("VmHWM"))
        await asyncio.sleep(0.25)
    for stream in streams:
        stream.hang_up = True
    # Those that wait for bytes do not see that the time is over.
    await asyncio.wait(tasks, timeout=2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for stream in streams:
        stream.end = stream.end or ("cut" if stream.status else "no answer in time")
    return streams, peak


def answers(table, streams, seconds):
    for wanted in FORMATS:
        these = [stream for stream in streams if f"load.{wanted}?" in stream.path]
        read = [stream.bytes for stream in these if stream.status == 200]
        table.figure(f"{wanted}: answers", f"{counted([stream.code() for stream in these])}; {sum(read) / max(1, len(read)) / seconds / 1024:.0f} KiB/s each")
    silent = sum(stream.status is None for stream in streams)
    table.promise("without an answer", f"{silent}: {counted([stream.end for stream in streams if stream.status is None])}", "0", silent == 0)
    refused = [stream for stream in streams if stream.status not in (200, None)]
    proper = all(told(stream.code()) and "retry-after" in stream.headers for stream in refused)
    table.promise("refused", f"{len(refused)}: {counted([stream.code() for stream in refused])}", "429 or 503 with a code and Retry-After", proper)
    broken = [stream for stream in streams if stream.status == 200 and stream.end not in ("cut", "complete")]
    table.promise("broken off by the service after a 200", f"{len(broken)}: {counted([stream.end for stream in broken])}", "0", not broken)
    waiting = [stream for stream in streams if stream.status == 200 and stream.bytes < RATE]
    table.figure("accepted, but got less than a second's worth", len(waiting))


def told(code):
    """Whether a refusal says what it is."""
    words = str(code).split()
    return words[0] in ("429", "503") and len(words) == 2 and words[1] != "None"
