"""A rolling restart: two instances on one store, both replaced one after the other under 200 requests a second."""

import asyncio
import contextlib
import itertools
import json
import signal
import time

from .ground import AUTHORIZATION, Service
from .table import Table, counted, percentile

RATE, WORKERS = 200, 16
BODY = json.dumps({"stream": "penguins", "limit": 5}).encode()
REQUEST = (
    f"POST /v1/sources/sample/preview HTTP/1.1\r\nHost: bench\r\n{AUTHORIZATION}\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY


class Balancer:
    """Kept connections to whichever instances say that they are ready."""

    def __init__(self, services):
        self.services, self.ready, self.idle, self.turn = list(services), list(services), {}, itertools.count()
        self.answers, self.times, self.failed, self.closed, self.raced, self.refused = 0, [], [], 0, 0, 0

    async def look(self):
        """Asks /readyz five times a second, as balancers do."""
        while True:
            self.ready = [service for service in self.services if await is_ready(service)] or self.ready
            await asyncio.sleep(0.2)

    async def ask(self):
        start = time.monotonic()
        for attempt in range(3):
            service = self.ready[next(self.turn) % len(self.ready)]
            waiting, kept = self.idle.setdefault(service, []), False
            reader = writer = None
            while waiting and reader is None:
                reader, writer = waiting.pop()
                kept = True
                if reader.at_eof():
                    # Closed while nothing was asked: nobody lost anything.
                    self.closed += 1
                    writer.close()
                    reader, kept = None, False
            try:
                if reader is None:
                    reader, writer = await asyncio.open_connection(service.host, service.port)
            except OSError:
                self.refused += 1
                continue
            outcome = await exchange(reader, writer)
            if outcome == "nothing" and kept:
                # It was closed as the request was on its way: HTTP lets a client send it again.
                self.raced += 1
                continue
            if outcome in ("200", "200 close"):
                self.answers += 1
                self.times.append((time.monotonic() - start) * 1e3)
                if outcome == "200":
                    waiting.append((reader, writer))
                else:
                    writer.close()
            else:
                self.failed.append(outcome)
                writer.close()
            return
        self.failed.append("no connection in three attempts")


async def exchange(reader, writer):
    """The status of an answer; `nothing` when not a byte of it came."""
    got = b""
    try:
        writer.write(REQUEST)
        await writer.drain()
        while b"\r\n\r\n" not in got:
            came = await reader.read(65_536)
            if not came:
                return "cut in its head" if got else "nothing"
            got += came
        head, _, rest = got.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"content-length" in fields:
            left = int(fields[b"content-length"]) - len(rest)
            await reader.readexactly(max(0, left))
        else:
            while not rest.endswith(b"0\r\n\r\n"):
                came = await reader.read(65_536)
                if not came:
                    return "cut in its body"
                rest += came
    except (ConnectionError, asyncio.IncompleteReadError):
        return "cut in its body" if got else "nothing"
    status = head[9:12].decode()
    return f"{status} close" if fields.get(b"connection") == b"close" else status


async def is_ready(service):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection(service.host, service.port)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        head = await reader.read(100)
        writer.close()
        return head[9:12] == b"200"
    return False


def run(ground):
    table = Table("rolling restart", f"two instances replaced under {RATE} previews a second")
    table.note(
        "Two instances on one store with WEIR_DRAIN_DELAY=2; one gets SIGTERM, its successor starts, then the same with the other. A balancer asks /readyz five times a second and keeps connections."
        " A request fails when it has no 200: an answer that is cut, another status, a new connection that is closed without an answer. A connection found closed before anything was sent on it is not a request;"
        " one that was closed, without a byte of an answer, as a request was on its way is sent again and counted on its own; so is a refused connection."
    )
    with contextlib.ExitStack() as stack:
        store = ground.store()

        def instance(sources):
            return stack.enter_context(Service(ground, table, store=store, sources=sources, DRAIN_DELAY=2))

        asyncio.run(replaced(table, [instance(True), instance(False)], instance))
    return table


async def replaced(table, services, instance):
    balancer = Balancer(services)
    looking = asyncio.create_task(balancer.look())
    running, asked = True, 0

    async def worker(number):
        nonlocal asked
        at = time.monotonic() + number / RATE
        while running:
            await asyncio.sleep(max(0, at - time.monotonic()))
            asked += 1
            await balancer.ask()
            at = max(at + WORKERS / RATE, time.monotonic() - 0.5)

    start = time.monotonic()
    workers = [asyncio.create_task(worker(number)) for number in range(WORKERS)]
    exits = []
    await asyncio.sleep(2)
    for service in services:
        told = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(service.process.wait, 40)
        exits.append(f"{time.monotonic() - told:.1f} s, code {code}")
        balancer.services.append(await asyncio.to_thread(instance, False))
        balancer.services.remove(service)
        await asyncio.sleep(2)
    running = False
    await asyncio.gather(*workers)
    looking.cancel()
    table.figure("requests", f"{asked:,} in {time.monotonic() - start:.0f} s, p99 {percentile(balancer.times, 0.99):.1f} ms")
    table.figure("exits, the delay of 2 s included", "; ".join(exits))
    table.promise("failed", f"{len(balancer.failed)}: {counted(balancer.failed)}", "0", not balancer.failed)
    table.figure("kept connections found closed; closed under a request, sent again; connections refused, another taken", f"{balancer.closed}; {balancer.raced}; {balancer.refused}")
