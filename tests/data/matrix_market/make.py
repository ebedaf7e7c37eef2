"""Writes small matrices in every Matrix Market format, the entries that SciPy reads from each, and invalid files.

    python3 tests/data/matrix_market/make.py

The committed files were written with SciPy 1.17.1. expected.csv has the entries of each file that
scipy.io.mmread returns: COO for sparse matrices, all values except a skew-symmetric diagonal for dense ones.
"""

import csv
import gzip
import io
from pathlib import Path

import numpy as np
from scipy.io import mmread, mmwrite
from scipy.sparse import coo_array

HERE = Path(__file__).resolve().parent

GRID = np.array([[4, -1, 0, 0], [-1, 4, -1, 0], [0, -1, 4, -1], [0, 0, -1, 4]])
ROTATION = np.array([[0, 2.5, -1], [-2.5, 0, 0.125], [1, -0.125, 0]])


def sparse(values, rows, columns, shape, kind=float):
    return coo_array((np.array(values, dtype=kind), (rows, columns)), shape=shape)


# file name: (matrix, keyword arguments of mmwrite)
MATRICES = {
    "general.mtx": (sparse([1.5, -2e-3, 0.1, 1e300], [0, 2, 2, 1], [1, 3, 0, 1], (3, 4)), {"comment": " two\n lines"}),
    "twice.mtx": (sparse([1, 2, 3], [0, 0, 1], [1, 1, 0], (2, 2)), {"symmetry": "general"}),
    "symmetric.mtx": (coo_array(GRID), {}),
    "skew.mtx": (coo_array(ROTATION), {}),
    "pattern.mtx": (sparse([1, 1, 1], [0, 1, 2], [4, 0, 2], (3, 5)), {"field": "pattern"}),
    "pattern_symmetric.mtx": (coo_array(GRID), {"field": "pattern"}),
    "pattern_skew.mtx": (coo_array(ROTATION), {"field": "pattern", "symmetry": "skew-symmetric"}),
    "unsigned.mtx": (sparse([7, 2**64 - 1], [0, 1], [0, 2], (2, 3), np.uint64), {}),
    "empty.mtx": (sparse([], [], [], (3, 3)), {"symmetry": "general"}),
    "array.mtx": (np.array([[1.5, 0], [-2, 1 / 3], [0, 5]]), {}),
    "array_symmetric.mtx": (GRID, {}),
    "array_skew.mtx": (ROTATION, {}),
    "packed.mtx.gz": (coo_array(np.kron(GRID, np.eye(2, dtype=int))), {}),
}

COORDINATE = "%%MatrixMarket matrix coordinate real general\n"

# Matrices that mmwrite does not write like this.
TEXTS = {
    "skew_zero.mtx": COORDINATE.replace("general", "skew-symmetric") + "2 2 2\n2 1 5\n2 2 0\n",
}

BAD = {
    "row.mtx": COORDINATE + "4 4 3\n1 1 0.5\n2 2 0.5\n% not the last\n9 3 0.5\n",
    "column.mtx": COORDINATE + "4 4 1\n1 0 0.5\n",
    "value.mtx": COORDINATE + "4 4 1\n1 1 1.5D3\n",
    "whole.mtx": COORDINATE.replace("real", "integer") + "4 4 1\n1 1 0.5\n",
    "few.mtx": COORDINATE + "4 4 3\n1 1 0.5\n2 2 0.5\n",
    "many.mtx": COORDINATE + "4 4 1\n1 1 0.5\n2 2 0.5\n",
    "promised.mtx": COORDINATE + "4 4 9000000000000000000\n1 1 0.5\n",
    "diagonal.mtx": COORDINATE.replace("general", "skew-symmetric") + "4 4 1\n2 2 0.5\n",
    "oblong.mtx": COORDINATE.replace("general", "symmetric") + "3 4 1\n2 2 0.5\n",
    "complex.mtx": COORDINATE.replace("real", "complex") + "4 4 1\n1 1 0.5 1\n",
    "text.mtx": "row,col,value\n1,1,0.5\n",
    "nothing.mtx": "",
    "banner.mtx": COORDINATE,
}


def entries(path):
    matrix = mmread(path, spmatrix=False)
    if isinstance(matrix, np.ndarray):
        is_skew = "skew" in path.name
        return [(i, j, v) for (i, j), v in np.ndenumerate(matrix) if not (is_skew and i == j)]
    return zip(*matrix.coords, matrix.data)


def main():
    expected = []
    for name, (matrix, options) in MATRICES.items():
        text = io.BytesIO()
        mmwrite(text, matrix, **options)
        data = gzip.compress(text.getvalue(), mtime=0) if name.endswith(".gz") else text.getvalue()
        (HERE / name).write_bytes(data)
        expected += [(name, int(i), int(j), float(v)) for i, j, v in entries(HERE / name)]
    for name, text in TEXTS.items():
        (HERE / name).write_text(text)
        expected += [(name, int(i), int(j), float(v)) for i, j, v in entries(HERE / name)]
    with open(HERE / "expected.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "row", "col", "value"])
        writer.writerows(sorted(expected))
    for name, text in BAD.items():
        (HERE / "bad" / name).write_text(text)
    compressed = (HERE / "packed.mtx.gz").read_bytes()
    (HERE / "bad" / "cut.mtx.gz").write_bytes(compressed[:-20])
    (HERE / "bad" / "unpacked.mtx.gz").write_text(COORDINATE + "1 1 1\n1 1 1\n")


main()
