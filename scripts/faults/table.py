"""Figures and promises of one part, as a table."""

import math


class Table:
    """Rows of figures; a promise has a goal and is kept or broken."""

    def __init__(self, name, title):
        self.name, self.title = name, title
        self.notes, self.rows, self.broken = [], [], []

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def figure(self, name, value):
        self.rows.append((name, value, "", ""))

    def promise(self, name, value, goal, kept):
        self.rows.append((name, value, goal, "kept" if kept else "**broken**"))
        if not kept:
            self.broken.append(f"{self.name}: {name}: {value}, not {goal}")

    def text(self):
        lines = [f"### {self.name}: {self.title}", ""]
        for note in self.notes:
            lines += [note, ""]
        lines += ["| figure | value | goal | |", "|---|---:|---|---|"]
        lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in self.rows]
        return "\n".join(lines) + "\n"


def percentile(values, share):
    """The nearest rank; not a number when there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def counted(values):
    """How often each value occurs, the most frequent ones, as text."""
    counts = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    most = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join([*(f"{name} × {count}" for name, count in most[:6]), *(["…"] if len(most) > 6 else [])]) or "none"


def told(code):
    """Whether a refusal says what it is."""
    words = str(code).split()
    return words[0] in ("429", "503") and len(words) == 2 and words[1] != "None"
