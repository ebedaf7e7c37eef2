"""Writes the sparse matrices of sparse_matmul.py as tables (row, col, value): python sparse_matrices.py FOLDER [NAME ...]

`NAME.parquet` has one row per entry. A pair (row, col) may occur more than once: the entry is then the sum, as in a product of
tables. Values are uniform in [0, 1), so that no sum cancels. Each matrix has its own seeded generator; existing files are not
rewritten.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KEY, VALUE = pa.int64(), pa.field("value", pa.float64(), nullable=False)
ENTRY = pa.schema([pa.field("row", KEY, nullable=False), pa.field("col", KEY, nullable=False), VALUE])
ELEMENT = pa.schema([pa.field("idx", KEY, nullable=False), VALUE])
# The parameters of Graph500: the probabilities of the quadrants of a matrix, applied recursively.
UPPER_LEFT, UPPER_RIGHT, LOWER_LEFT = 0.57, 0.19, 0.19
CHUNKS = 16

Coordinates = Iterator[tuple[np.ndarray, np.ndarray]]


@dataclass
class Matrix:
    name: str
    side: int
    entries: int
    kind: str
    seed: int

    def file(self, folder: Path) -> Path:
        return folder / f"{self.name}.parquet"

    def vector_file(self, folder: Path) -> Path:
        return folder / f"{self.name}_x.parquet"

    def products(self, folder: Path) -> int:
        """The number of multiplications: one per entry for a vector, and column count times row count, summed, for A times A."""
        if self.kind == "sorted":
            return self.entries
        rows, cols = (
            np.bincount(column.to_numpy(), minlength=self.side)
            for column in pq.read_table(self.file(folder), columns=["row", "col"]).columns
        )
        return int(rows @ cols)


MATRICES = {
    matrix.name: matrix
    for matrix in (
        Matrix("rmat14", 2**14, 16 * 2**14, "rmat", 1),
        Matrix("er100k", 100_000, 1_600_000, "uniform", 2),
        Matrix("er1m", 1_000_000, 4_000_000, "uniform", 3),
        # Multiplied with a vector.
        Matrix("spmv64m", 4_000_000, 64_000_000, "sorted", 4),
    )
}


def rmat(matrix: Matrix, random: np.random.Generator) -> Coordinates:
    """Draws one bit of the row and one of the column per level, most significant first. Vertices are not permuted afterwards."""
    row = np.zeros(matrix.entries, np.int64)
    col = np.zeros(matrix.entries, np.int64)
    for _ in range(matrix.side.bit_length() - 1):
        quadrant = random.random(matrix.entries)
        lower = quadrant >= UPPER_LEFT + UPPER_RIGHT
        right = np.where(lower, quadrant >= UPPER_LEFT + UPPER_RIGHT + LOWER_LEFT, quadrant >= UPPER_LEFT)
        row, col = 2 * row + lower, 2 * col + right
    yield row, col


def uniform(matrix: Matrix, random: np.random.Generator) -> Coordinates:
    yield np.divmod(random.integers(0, matrix.side**2, matrix.entries), matrix.side)


def row_sorted(matrix: Matrix, random: np.random.Generator) -> Coordinates:
    """Uniform within each chunk of rows, with equally many entries per chunk, sorted by row and column."""
    cells, entries = matrix.side**2 // CHUNKS, matrix.entries // CHUNKS
    for chunk in range(CHUNKS):
        yield np.divmod(np.sort(random.integers(chunk * cells, (chunk + 1) * cells, entries)), matrix.side)


KINDS = {"rmat": rmat, "uniform": uniform, "sorted": row_sorted}


def write(matrix: Matrix, folder: Path):
    """Writes the missing files: the matrix and, for a sorted one, the vector that it is multiplied with."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(matrix.seed)
    entries = (
        pa.table([row, col, random.random(len(row))], schema=ENTRY) for row, col in KINDS[matrix.kind](matrix, random)
    )
    write_missing(matrix.file(folder), ENTRY, entries)
    if matrix.kind == "sorted":
        random = np.random.default_rng(matrix.seed + 100)
        vector = pa.table([np.arange(matrix.side), random.random(matrix.side)], schema=ELEMENT)
        write_missing(matrix.vector_file(folder), ELEMENT, iter([vector]))


def write_missing(file: Path, schema: pa.Schema, tables: Iterator[pa.Table]):
    if file.exists():
        return
    # Renamed when complete, so that an interrupted run leaves no partial file.
    part = file.with_suffix(".part")
    with pq.ParquetWriter(part, schema) as writer:
        for table in tables:
            writer.write_table(table)
    part.rename(file)


if __name__ == "__main__":
    for name in sys.argv[2:] or MATRICES:
        write(MATRICES[name], Path(sys.argv[1]))
