"""tls-reload: new certificates under traffic: a good one, a bad one, a good one."""

import hashlib
import http.client
import os
import socket
import ssl
import threading
import time

from .ground import Service, trusting
from .probe import PREVIEW, Probe
from .table import Table, counted

NAME, TITLE = "tls-reload", "certificates replaced under traffic"
# What the service may take to notice, and what a bad file is given to do harm.
LIMIT, HARM = 10, 8


class Watcher:
    """New handshakes, twenty a second: which certificate each was shown."""

    def __init__(self, service):
        self.service, self.seen, self.failures, self.ended = service, [], [], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        context = trusting()
        while not self.ended.is_set():
            try:
                with socket.create_connection((self.service.host, self.service.port), timeout=10) as plain, context.wrap_socket(plain) as peer:
                    shown = hashlib.sha256(peer.getpeercert(binary_form=True)).hexdigest()
                    peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                    answer = b""
                    while came := peer.recv(4096):
                        answer += came
                if not answer.startswith(b"HTTP/1.1 200"):
                    self.failures.append(answer[:12].decode())
                self.seen.append((time.monotonic(), shown))
            except (OSError, ssl.SSLError) as error:
                self.failures.append(type(error).__name__)
            self.ended.wait(0.05)

    def until(self, shown, limit):
        """Seconds until a new handshake shows it, or nothing."""
        start = time.monotonic()
        while time.monotonic() - start < limit:
            if self.seen and self.seen[-1][1] == shown:
                return time.monotonic() - start
            time.sleep(0.05)
        return None

    def since(self, start):
        return {shown for at, shown in self.seen if at >= start}

    def stop(self):
        self.ended.set()
        self.thread.join()


def run(ground):
    table = Table(NAME, TITLE)
    table.note(
        "Previews from two kept connections and one that is new each time, 50 a second each, and 20 new handshakes a second that look at the certificate, while the two files are replaced, each by a rename."
        " The bad pairs are a key that is no PEM, and a key of another certificate."
    )
    folder = ground.home / "tls"
    folder.mkdir(exist_ok=True)
    live = folder / "live.crt", folder / "live.key"
    pairs = {name: ground.certificate(folder, name) for name in ("first", "second", "third")}
    prints = {name: fingerprint(certificate) for name, (certificate, _) in pairs.items()}
    replace(live, *pairs["first"])
    clients = {"kept": (2, {**PREVIEW, "fresh_every": 1 << 30}), "fresh": (1, {**PREVIEW, "fresh_every": 1})}
    with Service(ground, table, sources=False, TLS_CERT=live[0], TLS_KEY=live[1]) as service:
        if service.scheme != "https":
            table.promise("serves TLS", "no such setting", "yes", False)
            return [table]
        watcher = Watcher(service)
        try:
            with Probe(service, clients) as probe:
                start = time.monotonic()
                first = watcher.until(prints["first"], 5)
                kept = http.client.HTTPSConnection(service.host, service.port, context=trusting(), timeout=10)
                asked(kept)
                reloads(table, watcher, live, pairs, prints, folder, first)
                table.promise("a connection from before all of it still answers", asked(kept), "200", asked(kept) == 200)
                kept.close()
                probe.stop()
                requests = probe.between("kept", start, time.monotonic()) + probe.between("fresh", start, time.monotonic())
                failed = [sample["status"] for sample in requests if sample["status"] != 200] + watcher.failures
                table.promise("requests dropped", f"{len(failed)} of {len(requests) + len(watcher.seen)}: {counted(failed)}", "0", not failed)
        finally:
            watcher.stop()
        panics = service.panics()
        table.promise("panics", panics, "0", panics == 0)
    return [table]


def reloads(table, watcher, live, pairs, prints, folder, first):
    table.promise("the first certificate is shown", "yes" if first is not None else "no", "yes", first is not None)
    replace(live, *pairs["second"])
    took = watcher.until(prints["second"], LIMIT + 5)
    table.promise("a good pair is shown after", f"{took:.1f} s" if took is not None else "never", f"at most {LIMIT} s", took is not None and took <= LIMIT)
    bad = folder / "bad.key"
    bad.write_text("this is no key\n")
    for title, key in (("a key that is no key", bad), ("a key of another certificate", pairs["first"][1])):
        replace(live, pairs["third"][0], key)
        changed = time.monotonic()
        time.sleep(HARM)
        shown = watcher.since(changed)
        table.promise(f"{title}: the old certificate stays", "yes" if shown == {prints["second"]} else f"{len(shown)} others", f"yes, for {HARM} s", shown == {prints["second"]})
    replace(live, *pairs["third"])
    took = watcher.until(prints["third"], LIMIT + 5)
    table.promise("a good pair after the bad ones is shown after", f"{took:.1f} s" if took is not None else "never", f"at most {LIMIT} s", took is not None and took <= LIMIT)


def asked(connection):
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def fingerprint(path):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(path.read_text())).hexdigest()


def replace(live, certificate, key):
    """Each file at once, the pair not: that is how others do it."""
    for target, source in zip(live, (certificate, key)):
        fresh = target.with_suffix(target.suffix + ".new")
        fresh.write_bytes(source.read_bytes())
        os.chmod(fresh, 0o600)
        os.replace(fresh, target)
