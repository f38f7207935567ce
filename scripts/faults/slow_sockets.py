"""slow-sockets: a thousand peers that send half a head, a body by the byte, or take nothing of their answer."""

import contextlib
import re
import socket
import time

from .ground import AUTHORIZATION, Service, checked_base, until
from .probe import HEALTH, PREVIEW, Probe
from .table import Table, counted, percentile

NAME, TITLE = "slow-sockets", "1,000 sockets that hold on"
# Seconds, as the service has them by default, and to try the script out.
LIMITS = {"head": 10, "body": 30, "write": 60, "idle": 75}
SHORT = {"head": 2, "body": 4, "write": 5, "idle": 8}
HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: bench\r\nX-Slow: "
HEAD = f"Host: bench\r\n{AUTHORIZATION}\r\n"
PREVIEW_HEAD = f"POST /v1/sources/sample/preview HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{{".encode()
TRANSFORM_HEAD = f"POST /v1/transform.csv HTTP/1.1\r\n{HEAD}Content-Type: text/csv\r\nContent-Length: 5000\r\n\r\na,b\n".encode()
LOAD_HEAD = f"GET /v1/sources/files/load.arrow?stream=lineitem.parquet HTTP/1.1\r\n{HEAD}\r\n".encode()
# How many a second and of these: name, first bytes, whether it goes on by the byte, whether it reads, which limit ends it.
# Those that live longest come first, so that all of them are there at once.
WAVES = [
    (334, 40, [("load that is not read", LOAD_HEAD, False, False, "write")]),
    (333, 250, [
        ("preview body that stops", PREVIEW_HEAD, False, True, "body"),
        ("transform body that stops", TRANSFORM_HEAD, False, True, "body"),
        ("transform body, a byte at a time", TRANSFORM_HEAD, True, True, "body"),
    ]),
    (333, 250, [
        ("half a head, then a byte at a time", HALF_A_HEAD, True, True, "head"),
        ("half a head, then nothing", HALF_A_HEAD, False, True, "head"),
    ]),
]


class Slow:
    """One of them."""

    def __init__(self, service, kind, drip):
        self.kind, first, drips, self.reads, self.limit = kind
        self.drip = drip if drips else None
        self.socket, self.answer, self.closed_at = socket.socket(), b"", None
        if not self.reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(5)
        self.socket.connect((service.host, service.port))
        self.port = self.socket.getsockname()[1]
        self.socket.sendall(first)
        self.socket.setblocking(False)
        self.opened_at = self.sent_at = time.monotonic()
        self.accepted = False

    def step(self):
        now = time.monotonic()
        with contextlib.suppress(OSError):
            if self.drip and now - self.sent_at >= self.drip:
                self.sent_at = now
                self.socket.send(b"x")
        try:
            if self.reads:
                came = self.socket.recv(4096)
                self.answer += came
                self.closed_at = self.closed_at or (None if came else now)
        except BlockingIOError:
            pass
        except OSError:
            self.closed_at = self.closed_at or now
        with contextlib.suppress(OSError):
            if not self.reads and not self.answer:
                self.answer = self.socket.recv(2000, socket.MSG_PEEK)

    def status(self):
        """With the code of a failure."""
        code = re.search(rb"weir-error-code: (\S+)", self.answer)
        return self.answer[9:12].decode() + (f" {code.group(1).decode()}" if code else "") or "no answer"


def run(ground):
    table = Table(NAME, TITLE)
    limits = SHORT if ground.short else LIMITS
    settings = {f"{name}_MS": limits[which] * 1000 for name, which in (("HEAD", "head"), ("BODY_STALL", "body"), ("WRITE_STALL", "write"), ("IDLE", "idle"))}
    table.note(
        f"{'Short limits, no figures: ' if ground.short else ''}head {limits['head']} s, body stall {limits['body']} s, write stall {limits['write']} s; a byte each {limits['head'] if ground.short else 10} s."
        " A third half heads, a third bodies, a third loads of a local Parquet file as Arrow that nobody reads (local files need no connection of a source; loads of one key were raised to 2,000)."
        " When a socket was closed is read from the table of the kernel, where a connection loses its process."
        " Meanwhile two clients ask for previews of the sample, 50 a second each, every tenth on a new connection."
    )
    quiet_for = 3 if ground.short else 10
    with Service(ground, table, LOADS_PER_KEY=2000, SOURCE_CONNECTIONS=2000, CONNECTIONS=10_000, **settings) as service, Probe(service, {"preview": (2, PREVIEW), "health": (1, HEALTH)}) as probe:
        time.sleep(1)
        before, memory, fds = service.base(), service.memory(), service.fds()
        quiet = time.monotonic()
        time.sleep(quiet_for)
        start = time.monotonic()
        slow, opened, most = hold(service, limits, 10 if not ground.short else limits["head"])
        end = time.monotonic()
        still = service.held()
        for one in slow:
            one.socket.close()
        gone = until(lambda: not service.held() & {one.port for one in slow}, 10)
        back = until(lambda: service.fds() <= fds + 15, 10)
        probe.stop()
        classes(table, slow, limits, still)
        table.figure("held by the service at once, at most", f"{most['sockets']} of {len(slow)} sockets; {most['threads']} threads")
        normal(table, probe, quiet, start, opened, end)
        table.figure("resident before, peak, after", f"{memory:.0f}, {service.memory('VmHWM'):.0f}, {service.memory():.0f} MiB")
        table.promise("open files before, at most, after", f"{fds}, {most['descriptors']}, {service.fds()}", "back within 10 s, give or take 15", back is not None and gone is not None)
        checked_base(table, service, before)
    return [table]


def planned():
    """When each socket opens, in seconds from the start, and of which kind it is."""
    plan, at = [], 0.0
    for count, a_second, kinds in WAVES:
        plan += [(at + number / a_second, kinds[number % len(kinds)]) for number in range(count)]
        at += count / a_second
    return plan


def hold(service, limits, drip):
    """Opens the sockets and watches until the service has closed them, or long enough. When all had been opened, and the most of what it held."""
    plan, slow, watched, opened = planned(), [], 0.0, None
    most = {"descriptors": 0, "sockets": 0, "threads": 0}
    start = time.monotonic()
    deadline = start + plan[-1][0] + max(limits["body"], limits["write"]) * 1.3 + 10
    while time.monotonic() < deadline:
        now = time.monotonic()
        while len(slow) < len(plan) and plan[len(slow)][0] <= now - start:
            slow.append(Slow(service, plan[len(slow)][1], drip))
            opened = time.monotonic()
        for one in slow:
            if one.closed_at is None:
                one.step()
        if now - watched > 0.5:
            held, watched = service.held(), time.monotonic()
            most = {
                "descriptors": max(most["descriptors"], service.fds()),
                "sockets": max(most["sockets"], sum(one.port in held for one in slow)),
                "threads": max(most["threads"], service.threads()),
            }
            for one in slow:
                if one.port in held:
                    one.accepted = True
                elif one.accepted and one.closed_at is None:
                    one.step()
                    one.closed_at = one.closed_at or watched
            # Those that were refused are ordinary idle connections.
            if len(slow) == len(plan) and all(one.closed_at or (one.limit == "write" and one.status() not in ("200", "no answer")) for one in slow):
                break
        time.sleep(0.05)
    return slow, opened, most


def classes(table, slow, limits, held):
    for name in dict.fromkeys(one.kind for one in slow):
        these = [one for one in slow if one.kind == name]
        table.figure(f"{name}: answers", counted([one.status() for one in these]))
        # What was refused did not come as far as to stall.
        these = [one for one in these if not one.status().startswith(("429", "503")) and (one.reads or one.status() == "200")]
        if not these:
            continue
        seconds = [one.closed_at - one.opened_at for one in these if one.closed_at]
        limit = limits[next(one.limit for one in slow if one.kind == name)]
        # What the answer's way into its queue takes, and how often anybody looks.
        most = limit * 1.25 + 5
        kept = len(seconds) == len(these) and bool(seconds) and limit * 0.9 <= min(seconds) and max(seconds) <= most
        text = f"{min(seconds):.1f} / {percentile(seconds, 0.5):.1f} / {max(seconds):.1f} s" if seconds else "never"
        left = sum(one.port in held for one in these if one.closed_at is None)
        table.promise(f"{name}: {len(seconds)} of {len(these)} closed, first / median / last", f"{text}, {left} left", f"all, {limit * 0.9:.0f} to {most:.0f} s", kept)


def normal(table, probe, quiet, start, opened, end):
    calm = [percentile(probe.times("preview", quiet, start), share) for share in (0.5, 0.99)]
    during = [percentile(probe.times("preview", start, end), share) for share in (0.5, 0.99)]
    opening, open_ = (percentile(probe.times("preview", *window), 0.99) for window in ((start, opened), (opened, end)))
    table.figure("previews quiet, p50 / p99", f"{calm[0]:.1f} / {calm[1]:.1f} ms")
    table.figure("previews meanwhile, p50 / p99", f"{during[0]:.1f} / {during[1]:.1f} ms")
    table.figure("previews while the sockets opened, and once all were open, p99", f"{opening:.1f}, {open_:.1f} ms")
    # Below 10 ms a ratio says more of this machine than of the service.
    table.promise("p99 meanwhile to p99 quiet", f"{during[1] / calm[1]:.2f}", "at most 2, or below 10 ms", during[1] <= max(2 * calm[1], 10))
    failed = probe.failures("preview", quiet, end) + probe.failures("health", quiet, end)
    table.promise("failed previews and health checks", f"{len(failed)} of {len(probe.between('preview', quiet, end))}: {counted(failed)}", "0", not failed)
    table.figure("/healthz meanwhile, p99", f"{percentile(probe.times('health', start, end), 0.99):.1f} ms")
