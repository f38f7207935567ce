"""A bound on the memory of one process, kept by the kernel: control groups of version 2, or 1."""

import os
import pathlib

V1, V2 = pathlib.Path("/sys/fs/cgroup/memory"), pathlib.Path("/sys/fs/cgroup")


class MemoryLimit:
    """`bytes` without swap for whoever enters; `mechanism` says how."""

    def __init__(self, most):
        self.most, self.folder = most, None
        name = f"weir-bench-{os.getpid()}"
        try:
            if (V1 / "memory.limit_in_bytes").exists():
                self.make(V1 / name, "cgroup v1", {"memory.limit_in_bytes": most, "memory.memsw.limit_in_bytes": most})
            elif "memory" in (V2 / "cgroup.subtree_control").read_text().split():
                self.make(V2 / name, "cgroup v2", {"memory.max": most, "memory.swap.max": 0})
            else:
                self.mechanism = "none: no memory controller here, so only the resident size is held against the limit"
        except OSError as error:
            self.end()
            self.mechanism = f"none: {error.strerror}, so only the resident size is held against the limit"

    def make(self, folder, mechanism, values):
        folder.mkdir()
        self.folder, self.mechanism = folder, mechanism
        for name, value in values.items():
            # Machines without swap may lack the file for it.
            if (folder / name).exists():
                (folder / name).write_text(str(value))

    def enter(self):
        """Puts the process that calls it below the limit."""
        if self.folder:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def kills(self):
        """How often the kernel killed for memory."""
        if not self.folder:
            return 0
        for name in ("memory.oom_control", "memory.events"):
            if (self.folder / name).exists():
                counts = dict(line.split() for line in (self.folder / name).read_text().splitlines())
                return int(counts.get("oom_kill", 0))
        return 0

    def peak(self):
        """MiB at most, page cache and sockets included, or nothing."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if self.folder and (self.folder / name).exists():
                return int((self.folder / name).read_text()) / (1 << 20)
        return None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.end()

    def end(self):
        """The processes below it have ended."""
        if self.folder and self.folder.exists():
            self.folder.rmdir()
