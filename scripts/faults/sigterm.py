"""sigterm: a stop with fifty streams open, a stop in two steps, and a rolling restart under requests."""

import asyncio
import io
import json
import signal
import socket
import time

import pyarrow
import pyarrow.parquet

from . import rolling
from .ground import Service, until
from .stream import opened
from .table import Table, counted

NAME, TITLE = "sigterm", "a stop with 50 streams open"
FORMATS = ["arrow", "json", "ndjson", "csv", "parquet"]
STREAMS, RATE = 50, 64 << 10
# A fifth of the streams can end within the default limit.
SHORT_ROWS, SHORT_RATE = 40_000, 768 << 10


def run(ground):
    limits = [4, 2] if ground.short else [20, 2]
    return [*(stop(ground, limit) for limit in limits), twice(ground), rolling.run(ground)]


def stop(ground, limit):
    table = Table(f"{NAME} with WEIR_DRAIN_LIMIT={limit}", TITLE)
    table.note(
        f"{STREAMS} loads of `lineitem` of a PostgreSQL, {' '.join(FORMATS)} in turn; four of five are whole and read at {RATE >> 10} KiB/s, which cannot end in time, the others have {SHORT_ROWS:,} rows and are read at {SHORT_RATE >> 10} KiB/s."
        " After the service is gone its clients read what is still in their sockets at full speed. An answer is complete when its chunked body has its end; then its rows are counted."
    )
    with Service(ground, table, SOURCE_CONNECTIONS=80, LOADS_PER_KEY=80, DRAIN_LIMIT=limit) as service:
        streams, took, refused, code = asyncio.run(stopped(service, limit))
        gone = ground.backends_gone(3)
        table.promise("SIGTERM to exit", f"{took:.2f} s" if took else "never", f"at most {limit + 1} s", bool(took) and took <= limit + 1)
        table.promise("exit code", code, "0", code == 0)
        table.promise("new connections refused after", f"{refused:.2f} s" if refused is not None else "never", "at most 1 s", refused is not None and refused <= 1)
        ends(table, streams, ground, limit)
        table.promise("queries left in the source", ground.backends(), "0 within 3 s of the exit", gone is not None)
        records(table, ground, service, streams)
    return table


async def stopped(service, limit):
    """Opens the streams, stops the service, and reads on: streams, seconds to the exit and until connections were refused, exit code."""
    wanted = []
    for number in range(STREAMS):
        path, rate = f"/v1/sources/tpch/load.{FORMATS[number % len(FORMATS)]}?stream=lineitem", RATE
        # The last to open, so that they have not ended before the signal.
        if number >= STREAMS * 4 // 5:
            path, rate = f"{path}&limit={SHORT_ROWS}", SHORT_RATE
        wanted.append({"service": service, "path": path, "rate": rate, "buffer": 16 << 10, "keep": True})
    streams, tasks = await opened(wanted)
    await asyncio.sleep(1)
    told = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    took = refused = None
    while time.monotonic() - told < limit + 15 and took is None:
        now = time.monotonic() - told
        if refused is None and not connects(service):
            refused = now
        if service.process.poll() is not None:
            took = now
        await asyncio.sleep(0.02)
    for stream in streams:
        stream.hurry = True
    await asyncio.wait(tasks, timeout=30)
    for task in tasks:
        task.cancel()
    return streams, took, refused, service.process.poll()


def connects(service):
    with socket.socket() as probe:
        probe.settimeout(0.5)
        try:
            probe.connect((service.host, service.port))
        except OSError:
            return False
        return True


def ends(table, streams, ground, limit):
    table.promise("streams that were open", counted([stream.code() for stream in streams]), f"200 × {STREAMS}", all(stream.status == 200 for stream in streams))
    table.figure("their ends", counted([stream.end for stream in streams]))
    streams = [stream for stream in streams if stream.status == 200]
    wrong, looks_whole = [], []
    for stream in streams:
        wanted = SHORT_ROWS if "limit=" in stream.path else ground.rows
        rows = read(stream)
        if stream.end == "complete" and rows != min(wanted, ground.rows):
            wrong.append(f"{kind(stream)}: {rows} rows")
        if stream.end not in ("complete", "short", "reset"):
            wrong.append(f"{kind(stream)}: {stream.end}")
        if stream.end in ("short", "reset") and kind(stream) in ("arrow", "json", "parquet") and rows is not None:
            looks_whole.append(f"{kind(stream)}: {rows} rows")
    table.promise("short answers that say they are complete, or none at all", f"{len(wrong)}: {counted(wrong)}", "0", not wrong)
    ended = [stream for stream in streams if "limit=" in stream.path]
    whole = sum(stream.end == "complete" for stream in ended)
    table.figure(f"loads of {SHORT_ROWS:,} rows that ended within {limit} s", f"{whole} of {len(ended)}")
    # HTTP said that they are broken; this is what a client sees who does not listen.
    table.figure("broken answers whose bytes alone read as a whole table", f"{len(looks_whole)}: {counted(looks_whole)}")


def kind(stream):
    return stream.path.split("load.")[1].split("?")[0]


def read(stream):
    """Rows of a body that reads as a whole answer, or nothing."""
    body = bytes(stream.body)
    try:
        match kind(stream):
            case "arrow":
                return pyarrow.ipc.open_stream(io.BytesIO(body)).read_all().num_rows
            case "json":
                return len(json.loads(body))
            case "parquet":
                return pyarrow.parquet.ParquetFile(io.BytesIO(body)).metadata.num_rows
            case "csv":
                return body.count(b"\n") - 1
            case _:
                return body.count(b"\n")
    except (ValueError, OSError, EOFError, pyarrow.ArrowException):
        return None


def records(table, ground, service, streams):
    wanted = {stream.headers.get("weir-run-id"): stream for stream in streams if stream.status == 200}
    rows = ground.ask("select id::text, status, error_code from runs", service.store)
    told = {run: f"{status} {code or ''}".strip() for run, status, code in rows}
    # What the service gave out whole may not have reached a client who reads slowly.
    right = ("succeeded", "failed service_stopped")
    found = [told.get(run, "no record") for run in wanted]
    proper = all(text in right for text in found)
    found = [text if text in right else f"{text} ({kind(stream)})" for text, stream in zip(found, wanted.values())]
    unsaid = sum(told.get(run) != "succeeded" for run, stream in wanted.items() if stream.end == "complete")
    table.promise("records of these runs", counted(found), "succeeded or failed with service_stopped", proper)
    table.promise("complete answers whose record says otherwise", unsaid, "0", unsaid == 0)


def twice(ground):
    table = Table(f"{NAME} in two steps", "a stop with a delay, and a second signal")
    delay = 4
    table.note(f"WEIR_DRAIN_DELAY={delay}: the service says that it stops before it does. Then, with five streams open that cannot end in time, a second SIGTERM.")
    with Service(ground, table, SOURCE_CONNECTIONS=80, LOADS_PER_KEY=80, DRAIN_DELAY=delay) as service:
        asyncio.run(delayed(table, service, delay))
    table.promise("queries left in the source", ground.backends(), "0 within 3 s of the exit", ground.backends_gone(3) is not None)
    return table


async def delayed(table, service, delay):
    paths = [f"/v1/sources/tpch/load.{wanted}?stream=lineitem" for wanted in FORMATS]
    streams, tasks = await opened([{"service": service, "path": path, "rate": RATE, "buffer": 16 << 10} for path in paths])
    told = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    answers, previews, refused = [], [], None
    await asyncio.sleep(0.2)
    while refused is None and time.monotonic() - told < delay + 3:
        try:
            ready, preview = await asyncio.to_thread(lambda: (service.get("/readyz")[0], service.get("/v1/sources/sample/preview", {"stream": "penguins"})[0]))
            answers.append(ready)
            previews.append(preview)
        except OSError:
            refused = time.monotonic() - told
        await asyncio.sleep(0.1)
    table.promise("/readyz in the delay", counted(answers), "503", bool(answers) and set(answers) == {503})
    table.promise("previews in the delay", counted(previews), "200", bool(previews) and set(previews) == {200})
    table.promise("connections refused after", f"{refused:.2f} s" if refused else "never", f"{delay} to {delay + 1} s", bool(refused) and delay - 0.2 <= refused <= delay + 1)
    second = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    took = await asyncio.to_thread(until, lambda: service.process.poll() is not None, 25)
    table.promise("second SIGTERM to exit", f"{took:.2f} s, code {service.process.poll()}" if took is not None else "never", "at most 1.5 s: a second to tell the callers", took is not None and took <= 1.5)
    for stream in streams:
        stream.hurry = True
    await asyncio.wait(tasks, timeout=30)
    table.promise("ends of the streams", counted([stream.end for stream in streams]), "none complete", all(stream.end in ("short", "reset") for stream in streams))
    table.figure("seconds from the first signal to the second", f"{second - told:.1f}")
