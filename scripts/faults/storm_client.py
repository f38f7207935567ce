"""One process of storm: opens connections on a schedule, asks for /healthz on each, and holds them all until the last is answered."""

import json
import resource
import selectors
import socket
import ssl
import sys
import time

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"
PATIENCE = 10.0


class Caller:
    """One connection on its way to an answer."""

    def __init__(self, spec, context, now):
        self.opened_at, self.context, self.answer, self.outcome, self.took = now, context, b"", None, None
        self.connected = self.asked = False
        self.shaken = context is None
        self.socket = socket.socket()
        self.socket.setblocking(False)
        # An address for each process: the ports of one may not do.
        self.socket.bind((spec["from"], 0))
        self.socket.connect_ex((spec["host"], spec["port"]))
        self.fd = self.socket.fileno()

    def step(self):
        """Goes on as far as it can; what to wait for, or nothing at the end."""
        try:
            return self.forward()
        except (BlockingIOError, ssl.SSLWantReadError):
            return selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE
        except OSError as error:
            return self.over(type(error).__name__)

    def forward(self):
        if not self.connected:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "not connected")
            self.connected = True
            if self.context:
                # The same descriptor, in another hand.
                self.socket = self.context.wrap_socket(self.socket, do_handshake_on_connect=False)
        if not self.shaken:
            self.socket.do_handshake()
            self.shaken = True
        if not self.asked:
            self.socket.send(REQUEST)
            self.asked = True
        came = self.socket.recv(4096)
        self.answer += came
        if not came:
            return self.over("closed in its answer" if self.answer else "closed without an answer")
        _, ended, body = self.answer.partition(b"\r\n\r\n")
        if body == b"ok\n" or (ended and self.answer[9:12] != b"200"):
            return self.over(self.answer[9:12].decode())
        return selectors.EVENT_READ

    def over(self, outcome):
        self.outcome, self.took = outcome, time.monotonic() - self.opened_at
        return 0


def main():
    spec = json.loads(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    context = ssl._create_unverified_context() if spec["tls"] else None
    selector, callers, waiting = selectors.EpollSelector(), [], 0
    while len(callers) < spec["count"] or waiting:
        now = time.monotonic()
        if now > spec["start"] + spec["seconds"] + PATIENCE:
            break
        while len(callers) < spec["count"] and now >= spec["start"] + spec["seconds"] * len(callers) / spec["count"]:
            caller = Caller(spec, context, now)
            selector.register(caller.fd, selectors.EVENT_WRITE, caller)
            callers.append(caller)
            waiting += 1
            now = time.monotonic()
        for key, _ in selector.select(0.002):
            wanted = key.data.step()
            if wanted:
                selector.modify(key.fd, wanted, key.data)
            else:
                selector.unregister(key.fd)
                waiting -= 1
    connected = sum(caller.connected for caller in callers)
    outcomes = [caller.outcome or "no answer in 10 s" for caller in callers]
    times = [caller.took for caller in callers if caller.outcome == "200"]
    last = max((caller.opened_at for caller in callers), default=0.0)
    print(json.dumps({"connected": connected, "outcomes": outcomes, "times": times, "last": last, "ended": time.monotonic()}), flush=True)
    # Held until everybody is done.
    sys.stdin.read()


if __name__ == "__main__":
    main()
