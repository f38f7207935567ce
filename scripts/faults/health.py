"""healthz: what a health check takes while everything computes."""

import subprocess
import threading
import time

from .ground import AUTHORIZATION, Service, checked_base
from .probe import HEALTH, PREVIEW, Probe
from .table import Table, counted, percentile, told

NAME, TITLE = "healthz", "health checks while eight requests compute"
FILES = "/v1/sources/files"
# What each of eight callers asks for again and again: a path, and what it sends.
WORK = [
    (f"{FILES}/load.arrow?stream=lineitem.parquet&order_by=-l_comment,l_orderkey", None),
    (f"{FILES}/load.csv?stream=lineitem.csv&order_by=l_shipinstruct,l_comment", None),
    (f"{FILES}/load.parquet?stream=lineitem.csv", None),
    (f"{FILES}/load.json?stream=lineitem.parquet", None),
    ("/v1/sources/tpch/load.parquet?stream=lineitem", None),
    ("/v1/transform.parquet", "lineitem.csv"),
    ("/v1/transform.json", "lineitem.csv"),
    ("/v1/transform.arrow", "lineitem.csv"),
]


def run(ground):
    table = Table(NAME, TITLE)
    seconds = 5 if ground.short else 30
    table.note(
        f"For {seconds} s: two sorts, three transforms of a {(ground.files / 'lineitem.csv').stat().st_size >> 20} MiB CSV body, three loads into Parquet and JSON, each again as soon as it has ended, read by curl (niced: the clients are to share the cores without taking them)."
        " /healthz is asked ten times a second, half of the time on a new connection."
    )
    with Service(ground, table, LOADS_PER_KEY=20) as service, Probe(service, {"health": (1, HEALTH), "preview": (1, {**PREVIEW, "pause": 0.1})}) as probe:
        # What looks after idle connections of a source comes with the first of them.
        service.get("/v1/sources/tpch/preview", {"stream": "lineitem", "limit": 1})
        time.sleep(1)
        before, memory = service.base(), service.memory()
        quiet = time.monotonic()
        time.sleep(3 if ground.short else 5)
        start, cpu = time.monotonic(), processor(service)
        outcomes = computed(ground, service, start + seconds)
        end = time.monotonic()
        used = (processor(service) - cpu) / (end - start)
        probe.stop()
        table.figure("requests that computed", f"{len(outcomes)}: {counted(outcomes)}; the service used {used:.2f} processors")
        for name, title in (("health", "/healthz"), ("preview", "previews")):
            calm, during = (percentile(probe.times(name, *window), 0.99) for window in ((quiet, start), (start, end)))
            figures = f"{calm:.1f} and {during:.1f} ms, {max(probe.times(name, start, end)):.1f} ms at most"
            if name == "health":
                table.promise(f"{title} quiet and meanwhile, p99", figures, "at most 50 ms", during <= 50)
            else:
                table.figure(f"{title} quiet and meanwhile, p99", figures)
        failed = probe.failures("health", quiet, end)
        table.promise("failed health checks", f"{len(failed)}: {counted(failed)}", "0", not failed)
        odd = [code for code in outcomes if code not in ("200", "stopped by us")]
        table.promise("requests that failed", f"{len(odd)}: {counted(odd)}", "none but 429 and 503 with a code", all(told(code) for code in odd))
        table.figure("resident before, peak", f"{memory:.0f}, {service.memory('VmHWM'):.0f} MiB")
        checked_base(table, service, before, limit=5)
    return [table]


def computed(ground, service, end):
    """Keeps the work going until `end`; how each request came out."""
    outcomes = []

    def caller(path, body):
        while (left := end - time.monotonic()) > 0:
            sent = ["-X", "POST", "-H", "Content-Type: text/csv", "-H", "Expect:", "-T", str(ground.files / body)] if body else []
            url = f"http://{service.host}:{service.port}{path}"
            command = ["nice", "-n", "10", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %header{weir-error-code}", "-H", AUTHORIZATION, *sent, url]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                text, error = process.communicate(timeout=left)
                outcomes.append(text.strip() if process.returncode == 0 else f"{text.strip()} {error.strip()[:60]}")
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                outcomes.append("stopped by us")

    threads = [threading.Thread(target=caller, args=work) for work in WORK]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def processor(service):
    """Seconds of processors that the service has used."""
    with open(f"/proc/{service.process.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100
