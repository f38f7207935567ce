"""hang-ups: a thousand loads whose caller leaves at a random byte."""

import asyncio
import json
import random
import time

from .ground import Service, checked_base
from .stream import Stream
from .table import Table, counted, percentile

NAME, TITLE = "hang-ups", "1,000 loads cut at random bytes"
FORMATS = ["arrow", "json", "ndjson", "csv", "parquet"]
AT_ONCE, MOST = 8, 4 << 20
RIGHT = 200
PATIENCE = 120


def run(ground):
    table = Table(NAME, TITLE)
    count = 100 if ground.short else 1000
    table.note(
        f"{count:,} loads of `lineitem` of a PostgreSQL, {AT_ONCE} at once, {' '.join(FORMATS)} in turn, cut after 1 byte to {MOST >> 20} MiB of the body (evenly over the logarithm), half of them with a reset; seed {ground.seed}."
        f" Then {RIGHT} loads and previews, each held against what the database says."
    )
    with Service(ground, table, SOURCE_CONNECTIONS=20, LOADS_PER_KEY=20) as service:
        golden = Golden(ground, service)
        for number in range(2):
            assert not golden.wrong(number), golden.wrong(number)
        before, fds, memory = service.base(), service.fds(), service.memory()
        start = time.monotonic()
        streams, refusals = asyncio.run(cut(service, count))
        took = time.monotonic() - start
        gone = ground.backends_gone(5)
        table.figure("loads", f"{count:,} in {took:.0f} s: {counted([stream.code() for stream in streams])}; ends: {counted([stream.end for stream in streams])}")
        table.figure("refused before they were let in", f"{len(refusals)}: {counted(refusals)}")
        table.figure("cut after, p50 / most", f"{percentile([stream.bytes for stream in streams], 0.5):,} / {max(stream.bytes for stream in streams):,} bytes")
        ends = {"cut", "complete"}
        odd = [f"{stream.code()} {stream.end}" for stream in streams if stream.end not in ends or stream.status != 200]
        table.promise("loads that did not answer with rows until they were cut", f"{len(odd)}: {counted(odd)}", "0", not odd)
        table.promise("queries of those loads left in the source", f"{ground.backends()}, the last gone after {gone if gone is not None else 5:.2f} s", "0 after 2 s", gone is not None and gone <= 2)
        checked_base(table, service, before)
        wrong = [text for number in range(RIGHT) if (text := golden.wrong(number))]
        table.promise(f"wrong of {RIGHT} answers after it", f"{len(wrong)}: {counted(wrong)}", "0", not wrong)
        table.figure("resident before, peak, after", f"{memory:.0f}, {service.memory('VmHWM'):.0f}, {service.memory():.0f} MiB")
        table.promise("open files before, after", f"{fds}, {service.fds()}", "no more than 25 apart", abs(service.fds() - fds) <= 25)
        running = ground.ask("select count(*) from runs where status = 'running'", service.store)[0][0]
        table.promise("runs still said to be running", running, "0", running == 0)
    return [table]


async def cut(service, count):
    """What each load that was let in came to, and the refusals before that."""
    streams, refusals, gate = [], [], asyncio.Semaphore(AT_ONCE)

    async def one(number):
        async with gate:
            stop_at = int(2 ** random.uniform(0, MOST.bit_length() - 1))
            for _ in range(20):
                stream = Stream(service, f"/v1/sources/tpch/load.{FORMATS[number % len(FORMATS)]}?stream=lineitem", stop_at=stop_at, buffer=64 << 10)
                try:
                    await asyncio.wait_for(stream.run(), PATIENCE)
                except TimeoutError:
                    stream.end = f"nothing in {PATIENCE} s"
                if stream.status not in (429, 503):
                    break
                refusals.append(stream.code())
                await asyncio.sleep(0.5)
            streams.append(stream)

    await asyncio.gather(*(one(number) for number in range(count)))
    return streams, refusals


class Golden:
    """Answers that are known from the database itself."""

    def __init__(self, ground, service):
        self.service = service
        # Each answer would scan the whole table, and two hundred of them take minutes.
        ground.ask("create index if not exists golden on lineitem (l_orderkey)", "tpch")
        [(self.first,)] = ground.ask("select array_agg(key order by key) from (select distinct l_orderkey as key from lineitem where l_orderkey < 4000 order by key limit 200) keys", "tpch")
        keys = ",".join(str(key) for key in self.first)
        rows = ground.ask(f"select l_orderkey, l_linenumber, l_partkey from lineitem where l_orderkey in ({keys}) order by 1, 2", "tpch")
        self.rows = {}
        for key, line, part in rows:
            self.rows.setdefault(key, []).append([key, line, part])

    def wrong(self, number):
        """What is wrong with the answer to request `number`, or nothing."""
        key = self.first[number % len(self.first)]
        asked = {"stream": "lineitem", "columns": ["l_orderkey", "l_linenumber", "l_partkey"], "filter": f"l_orderkey == {key}", "order_by": [{"column": "l_linenumber"}]}
        path = "/v1/sources/tpch/preview?shape=arrays" if number % 2 else "/v1/sources/tpch/load.json?shape=arrays"
        status, text = self.service.get(path, asked)
        if status != 200:
            return f"{status} {text[-120:].decode()}"
        rows = json.loads(text)["rows"] if number % 2 else json.loads(text)[1:]
        return None if rows == self.rows[key] else f"{len(rows)} rows, not {len(self.rows[key])}, or others"
