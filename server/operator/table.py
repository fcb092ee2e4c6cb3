"""Tables in plain text."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with aligned columns. Chinese characters count as two columns of a terminal."""
    return aligned([[name.upper() for name in header], *rows])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows with aligned columns."""
    from rich.cells import cell_len  # imported late, because a server that gets no command does not need it

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in padded)
