#!/usr/bin/env python3
"""Draws a profile as one small SVG: a card for each column, with its chart.

usage: scripts/profile/draw.py ANSWER.json > profile.svg
       make the answer with `curl …/v1/sources/sample/profile` (docs/PROFILE.md shows it)
"""

import html
import json
import pathlib
import sys

WIDTH, CARD, HEIGHT, GAP = 840, 270, 148, 10
INK, SOFT, BAR, LINE = "#1f2933", "#66727f", "#4c78a8", "#d8dee4"


def main():
    profile = json.loads(pathlib.Path(sys.argv[1]).read_text())
    columns = list(profile["columns"].items())
    across = WIDTH // (CARD + GAP)
    height = 44 + -(-len(columns) // across) * (HEIGHT + GAP)
    table = profile["dataset"]
    head = f"{table['row_count']:,} rows · {table['column_count']} columns · {table['completeness']:.1%} complete · {table['duplicate_row_count']:,} duplicate rows"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(GAP, 26, head, 14, INK),
    ]
    for place, (name, column) in enumerate(columns):
        x, y = GAP + place % across * (CARD + GAP), 44 + place // across * (HEIGHT + GAP)
        parts.append(card(x, y, name, column))
    print("\n".join([*parts, "</svg>"]))


def text(x, y, said, size, fill, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{html.escape(said)}</text>'


def short(said, most=22):
    return said if len(said) <= most else said[: most - 1] + "…"


def card(x, y, name, column):
    found = column["statistics"]
    parts = [f'<rect x="{x}" y="{y}" width="{CARD}" height="{HEIGHT}" rx="6" fill="none" stroke="{LINE}"/>']
    parts.append(text(x + 10, y + 20, short(name), 13, INK))
    parts.append(text(x + CARD - 10, y + 20, column["type"], 11, SOFT, "end"))
    if found.get("histogram"):
        parts.append(bars(x + 10, y + 34, CARD - 20, 62, [bucket["count"] for bucket in found["histogram"]]))
        parts.append(box(x + 10, y + 108, CARD - 20, found))
        parts.append(text(x + 10, y + 136, figure(found["min"]), 10, SOFT))
        parts.append(text(x + CARD - 10, y + 136, figure(found["max"]), 10, SOFT, "end"))
        parts.append(text(x + CARD / 2, y + 136, f"median {figure(found['median'])} · {found['null_value_count']} null", 10, SOFT, "middle"))
    elif found.get("time_series"):
        parts.append(bars(x + 10, y + 34, CARD - 20, 80, [bucket["count"] for bucket in found["time_series"]]))
        parts.append(text(x + 10, y + 136, str(found["min"])[:10], 10, SOFT))
        parts.append(text(x + CARD - 10, y + 136, str(found["max"])[:10], 10, SOFT, "end"))
    else:
        parts.append(ranking(x + 10, y + 34, CARD - 20, found))
        parts.append(text(x + 10, y + 136, f"{found['count_distinct']} different · {found['null_value_count']} null", 10, SOFT))
    return "\n".join(parts)


def figure(value):
    return "–" if value is None else f"{value:,.6g}"


def bars(x, y, width, height, counts):
    most, step = max([*counts, 1]), width / max(len(counts), 1)
    shapes = []
    for place, count in enumerate(counts):
        tall = height * count / most
        shapes.append(f'<rect x="{x + place * step:.1f}" y="{y + height - tall:.1f}" width="{max(step - 1, 0.5):.1f}" height="{tall:.1f}" fill="{BAR}"/>')
    return "\n".join(shapes)


def box(x, y, width, found):
    """Whiskers, quartiles, median, and a dot for each outlier, over the range of the histogram."""
    low, high, plot = found["min"], found["max"], found["box_plot"]
    if low is None or plot["min"] is None or high == low:
        return ""

    def at(value):
        return x + width * (value - low) / (high - low)

    first, third, middle = at(plot["first_quartile"]), at(plot["third_quartile"]), at(plot["median"])
    shapes = [
        f'<line x1="{at(plot["min"]):.1f}" y1="{y}" x2="{at(plot["max"]):.1f}" y2="{y}" stroke="{SOFT}"/>',
        f'<rect x="{first:.1f}" y="{y - 6}" width="{max(third - first, 1):.1f}" height="12" fill="#ffffff" stroke="{SOFT}"/>',
        f'<line x1="{middle:.1f}" y1="{y - 6}" x2="{middle:.1f}" y2="{y + 6}" stroke="{INK}" stroke-width="2"/>',
    ]
    shapes += [f'<circle cx="{at(value):.1f}" cy="{y}" r="2" fill="#e45756"/>' for value in plot["outliers"]]
    return "\n".join(shapes)


def ranking(x, y, width, found, most=4):
    shown = list(found["value_counts"].items())[:most]
    largest = max([count for _, count in shown] or [1])
    shapes = []
    for place, (value, count) in enumerate(shown):
        top = y + place * 22
        shapes.append(f'<rect x="{x}" y="{top}" width="{width * count / largest:.1f}" height="18" fill="{BAR}" fill-opacity="0.25"/>')
        shapes.append(text(x + 6, top + 13, short(value, 30), 11, INK))
        shapes.append(text(x + width - 4, top + 13, f"{count:,}", 10, SOFT, "end"))
    return "\n".join(shapes)


main()
