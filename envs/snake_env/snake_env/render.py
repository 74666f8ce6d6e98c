"""The board as text and as pictures, from what an observation has: clients may draw it too.

Pictures are made with the standard library alone: the PNG specification (W3C, third edition) asks for little.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final
from zlib import compress, crc32

from snake_env.game import Direction

EMPTY, BODY, HEAD, FOOD = range(4)
"""What the numbers of a grid mean."""
HEADS: Final[dict[Direction, str]] = {"up": "^", "down": "v", "left": "<", "right": ">"}
DEAD: Final = "X"
COLOURS: Final = ((24, 28, 36), (74, 160, 98), (196, 232, 120), (226, 84, 70))
"""Red, green and blue of an empty cell, the body, the head and the food."""
LINE: Final = (38, 44, 56)
"""Of the lines between cells, which cells of four and more pixels have."""
CELL_PIXELS: Final = range(1, 65)

_LINE_INDEX: Final = len(COLOURS)
_PALETTE: Final = (*COLOURS, LINE)


def board_text(grid: Sequence[Sequence[int]], head: str) -> str:
    """A line for each row; ``head`` is the sign for the head."""
    signs = {EMPTY: ".", BODY: "o", HEAD: head, FOOD: "*"}
    return "\n".join("".join([signs[cell] for cell in row]) for row in grid)


def png(grid: Sequence[Sequence[int]], cell: int = 16) -> bytes:
    """A PNG file with ``cell`` × ``cell`` pixels for each cell. Raises ``ValueError`` for fewer than 1 or more than 64."""
    rows = list(_pixel_rows(grid, cell))
    size = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    palette = bytes(value for colour in _PALETTE for value in colour)
    lines = b"".join(b"\0" + row for row in rows)
    chunks = ((b"IHDR", size), (b"PLTE", palette), (b"IDAT", compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def rgb(grid: Sequence[Sequence[int]], cell: int = 16) -> bytes:
    """The picture's pixels, row by row, three bytes each: ``numpy.frombuffer(…, "uint8").reshape(height, width, 3)``."""
    colours = [bytes(colour) for colour in _PALETTE]
    return b"".join(colours[index] for row in _pixel_rows(grid, cell) for index in row)


def _pixel_rows(grid: Sequence[Sequence[int]], cell: int) -> Iterable[bytes]:
    """Rows of palette indices."""
    if cell not in CELL_PIXELS:
        raise ValueError(f"a cell has {CELL_PIXELS[0]} to {CELL_PIXELS[-1]} pixels, not {cell}")
    line = 1 if cell >= 4 else 0
    for row in grid:
        pixels = b"".join(bytes([index]) * (cell - line) + bytes([_LINE_INDEX]) * line for index in row)
        for _ in range(cell - line):
            yield pixels
        if line:
            yield bytes([_LINE_INDEX]) * len(pixels)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))
