from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from snake_env import render
from snake_env.environment import SnakeEnvironment
from snake_env.models import SnakeAction


def unpacked(file: bytes) -> tuple[int, int, list[list[tuple[int, int, int]]]]:
    """Width, height and pixels of a PNG of eight bits with a palette and without filters, read as the standard says."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: list[tuple[bytes, bytes]] = []
    place = 8
    while place < len(file):
        (size,) = struct.unpack_from(">I", file, place)
        kind, data = file[place + 4 : place + 8], file[place + 8 : place + 8 + size]
        assert struct.unpack_from(">I", file, place + 8 + size) == (zlib.crc32(kind + data),)
        chunks.append((kind, data))
        place += 12 + size
    assert [kind for kind, _ in chunks] == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    known = dict(chunks)
    width, height, depth, colour, compression, filtering, interlaced = struct.unpack(">IIBBBBB", known[b"IHDR"])
    assert (depth, colour, compression, filtering, interlaced) == (8, 3, 0, 0, 0)
    palette = list(zip(*[iter(known[b"PLTE"])] * 3, strict=True))
    data = zlib.decompress(known[b"IDAT"])
    assert len(data) == height * (width + 1)
    rows = [data[start : start + width + 1] for start in range(0, len(data), width + 1)]
    assert {row[0] for row in rows} == {0}
    return width, height, [[palette[index] for index in row[1:]] for row in rows]


@pytest.mark.parametrize(("cell", "line"), [(16, True), (4, True), (3, False), (1, False), (64, True)])
def test_the_picture_shows_the_grid(cell: int, line: bool) -> None:
    world = SnakeEnvironment()
    seen = world.reset(seed=7, width=8, height=6)
    width, height, pixels = unpacked(world.render_png(cell))
    assert (width, height) == (8 * cell, 6 * cell)
    for row in range(6):
        for column in range(8):
            assert pixels[row * cell][column * cell] == render.COLOURS[seen.grid[row][column]]
            corner = pixels[row * cell + cell - 1][column * cell + cell - 1]
            assert corner == (render.LINE if line else render.COLOURS[seen.grid[row][column]])
    assert render.rgb(seen.grid, cell) == bytes(value for row in pixels for pixel in row for value in pixel)


def test_clients_can_draw_what_they_see() -> None:
    world = SnakeEnvironment()
    seen = world.reset(seed=7)
    assert render.png(seen.grid) == world.render_png()
    after = world.step(SnakeAction(direction="up"))
    assert world.render_png() == render.png(after.grid) != render.png(seen.grid)


@pytest.mark.parametrize("cell", [0, -1, 65])
def test_cells_of_impossible_sizes_are_refused(cell: int) -> None:
    with pytest.raises(ValueError, match="1 to 64 pixels"):
        SnakeEnvironment().render_png(cell)


def test_the_board_of_the_readme_is_the_one_of_its_seed() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert f"```text\n{SnakeEnvironment().reset(seed=7).board}\n```" in readme
