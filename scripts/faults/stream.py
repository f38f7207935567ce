"""One answer read byte by byte, slowly, and what its end was."""

import asyncio
import json
import random
import socket
import struct
import time

from .ground import AUTHORIZATION


class Stream:
    """Reads `path` at `rate` bytes a second until its end, `stop_at` bytes, or `hang_up`."""

    def __init__(self, service, path, rate=None, buffer=None, keep=False, stop_at=None):
        self.service, self.path, self.rate, self.buffer, self.keep, self.stop_at = service, path, rate, buffer, keep, stop_at
        self.body, self.bytes, self.status, self.headers = bytearray(), 0, None, {}
        # complete, short (an end without the end of the body), reset, cut (by us), unreachable
        self.end, self.ended_at = None, None
        self.hurry, self.hang_up, self.started = False, False, asyncio.Event()
        self.dechunk = None

    async def run(self):
        try:
            await self.exchange()
        except ConnectionRefusedError:
            self.end = "unreachable"
        except (ConnectionError, TimeoutError):
            self.end = "reset"
        finally:
            self.ended_at = time.monotonic()
            self.started.set()
        return self

    async def exchange(self):
        loop = asyncio.get_running_loop()
        with socket.socket() as peer:
            peer.setblocking(False)
            if self.buffer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
            await loop.sock_connect(peer, (self.service.host, self.service.port))
            request = f"GET {self.path} HTTP/1.1\r\nHost: bench\r\n{AUTHORIZATION}\r\n\r\n"
            await loop.sock_sendall(peer, request.encode())
            raw = b""
            while b"\r\n\r\n" not in raw:
                came = await loop.sock_recv(peer, 4096)
                if not came:
                    self.end = "short"
                    return
                raw += came
            head, _, rest = raw.partition(b"\r\n\r\n")
            self.understand(head.decode("latin-1"))
            self.took(rest)
            self.started.set()
            await self.follow(loop, peer)
            if self.end == "cut" and random.random() < 0.5:
                # Half of those who leave do so without a good-bye.
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def understand(self, head):
        lines = head.split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        chunked = self.headers.get("transfer-encoding") == "chunked"
        self.dechunk = Chunks() if chunked else Length(int(self.headers.get("content-length", 0)))

    def took(self, raw):
        payload = self.dechunk.feed(raw)
        self.bytes += len(payload)
        if self.keep or self.status != 200:
            self.body += payload

    async def follow(self, loop, peer):
        start, read = time.monotonic(), 0
        while not self.dechunk.ended:
            if self.hang_up or (self.stop_at is not None and self.bytes >= self.stop_at):
                self.end = "cut"
                return
            piece = 65_536 if self.rate is None or self.hurry else max(1024, self.rate // 8)
            if self.stop_at is not None:
                piece = min(piece, self.stop_at - self.bytes)
            came = await loop.sock_recv(peer, piece)
            if not came:
                self.end = "short"
                return
            read += len(came)
            self.took(came)
            if self.rate and not self.hurry:
                ahead = read / self.rate - (time.monotonic() - start)
                while ahead > 0 and not (self.hurry or self.hang_up):
                    await asyncio.sleep(min(ahead, 0.25))
                    ahead -= 0.25
        self.end = "complete"

    def code(self):
        """The status, with the code of a refusal."""
        if self.status in (200, None):
            return str(self.status or self.end)
        try:
            return f"{self.status} {json.loads(self.body)['code']}"
        except (ValueError, KeyError):
            return f"{self.status} without a code"


async def opened(wanted, at_once=8, patience=60):
    """Streams that have their head, and their tasks; who is told to come again does so for a while."""
    gate, streams = asyncio.Semaphore(at_once), [None] * len(wanted)
    tasks, deadline = [None] * len(wanted), time.monotonic() + patience

    async def one(number):
        async with gate:
            while True:
                stream = Stream(**wanted[number])
                task = asyncio.create_task(stream.run())
                await asyncio.wait_for(stream.started.wait(), patience)
                if stream.status == 200 or time.monotonic() > deadline:
                    streams[number], tasks[number] = stream, task
                    return
                await asyncio.sleep(0.5)

    await asyncio.gather(*(one(number) for number in range(len(wanted))))
    return streams, tasks


class Chunks:
    """A chunked body, as far as it came."""

    def __init__(self):
        self.waiting, self.left, self.ended = bytearray(), 0, False

    def feed(self, raw):
        self.waiting += raw
        payload = bytearray()
        while not self.ended:
            if self.left > 2:
                taken = min(self.left - 2, len(self.waiting))
                payload += self.waiting[:taken]
                del self.waiting[:taken]
                self.left -= taken
                if self.left > 2:
                    break
            if self.left:
                if len(self.waiting) < self.left:
                    break
                del self.waiting[: self.left]
                self.left = 0
            line, found, _ = self.waiting.partition(b"\r\n")
            if not found:
                break
            size = int(line.split(b";")[0], 16)
            if size == 0:
                # The end is the empty line after it; there are no trailers.
                self.ended = self.waiting.endswith(b"\r\n\r\n")
                break
            del self.waiting[: len(line) + 2]
            self.left = size + 2
        return payload


class Length:
    """A body whose length was told."""

    def __init__(self, length):
        self.left = length
        self.ended = length == 0

    def feed(self, raw):
        self.left -= len(raw)
        self.ended = self.left <= 0
        return raw
