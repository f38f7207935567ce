"""Normal clients in a process of their own, so that what else this machine runs in Python does not slow them.

As a program: takes its clients as JSON, runs until its input ends, and prints what each request took."""

import http.client
import json
import pathlib
import ssl
import subprocess
import sys
import threading
import time

PREVIEW = {"method": "POST", "path": "/v1/sources/sample/preview", "body": {"stream": "penguins", "limit": 20}, "pause": 0.02, "fresh_every": 10}
HEALTH = {"method": "GET", "path": "/healthz", "pause": 0.1, "fresh_every": 2}


class Probe:
    """Clients from now until `stop`."""

    def __init__(self, service, clients):
        """`clients` maps a name to how many of what."""
        from .ground import KEY

        spec = {"host": service.host, "port": service.port, "tls": service.scheme == "https", "key": KEY, "clients": [[name, client] for name, (count, client) in clients.items() for _ in range(count)]}
        command = [sys.executable, "-B", pathlib.Path(__file__), json.dumps(spec)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.samples = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.samples is None:
            self.stop()

    def stop(self):
        text, _ = self.process.communicate()
        self.samples = json.loads(text)

    def between(self, name, start, end):
        """Requests of a client that began in this time."""
        return [sample for sample in self.samples if sample["name"] == name and start <= sample["at"] < end]

    def times(self, name, start, end):
        """Milliseconds; a request that failed took as long as it took to fail."""
        return [sample["ms"] for sample in self.between(name, start, end)]

    def failures(self, name, start, end):
        return [sample["status"] for sample in self.between(name, start, end) if sample["status"] != 200]


def client(spec, name, wanted, samples, ended):
    context = ssl._create_unverified_context() if spec["tls"] else None
    body = json.dumps(wanted["body"]) if "body" in wanted else None
    headers = {"Authorization": f"Bearer {spec['key']}", "Content-Type": "application/json"}
    connection, number = None, 0
    while not ended.is_set():
        number += 1
        # Drawn before the request: connecting is part of it.
        at = time.monotonic()
        try:
            if connection is None or number % wanted["fresh_every"] == 0:
                if connection:
                    connection.close()
                kind = http.client.HTTPSConnection if spec["tls"] else http.client.HTTPConnection
                connection = kind(spec["host"], spec["port"], timeout=30, **({"context": context} if spec["tls"] else {}))
            connection.request(wanted["method"], wanted["path"], body, headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status if answer.status == 200 else f"{answer.status} {answer.headers['weir-error-code']}"
        except (OSError, http.client.HTTPException) as error:
            status = type(error).__name__
            connection.close()
            connection = None
        samples.append({"name": name, "at": at, "ms": (time.monotonic() - at) * 1e3, "status": status})
        ended.wait(max(0.0, at + wanted["pause"] - time.monotonic()))


def main():
    spec, samples, ended = json.loads(sys.argv[1]), [], threading.Event()
    threads = [threading.Thread(target=client, args=(spec, name, wanted, samples, ended)) for name, wanted in spec["clients"]]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    json.dump(samples, sys.stdout)


if __name__ == "__main__":
    main()
