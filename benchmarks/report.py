"""How every benchmark ends: a table for people and one JSON line for programs."""

import json
import os
from collections.abc import Sequence


def print_report(name: str, rows: Sequence[Sequence[object]], columns: Sequence[str], figures: dict[str, object]) -> None:
    widths = [max(len(str(cell)) for cell in column) for column in zip(columns, *rows, strict=True)]
    print(f"\n{name}, {os.cpu_count()} cores")
    for row in (columns, *rows):
        print("  " + "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)))
    print(json.dumps({"benchmark": name, "cores": os.cpu_count(), **figures}, default=lambda n: round(float(n), 3)))
