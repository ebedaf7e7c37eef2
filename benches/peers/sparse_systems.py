"""Runs one job of sparse_matmul.py with one system in this process: python sparse_systems.py SYSTEM FOLDER MATRIX ROUNDS

The last line printed is JSON: for each way that the system does the job, the times, and the count and the sum of the result's
entries.

What is timed yields every entry of the result, in whatever order, and keeps none of them in a table: the libraries let go of the
matrix that they return, and the engines of SQL go on to one row that needs all columns. That costs them a pass over the result
and spares them handing it over; DuckDB takes as long to give it away in batches of Arrow.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import files, version
from pathlib import Path

from sparse_matrices import MATRICES, Matrix

THREADS = 2


@dataclass
class Way:
    name: str
    run: Callable[[], object]
    # Of what `run` returned: the count of the entries, and their sum.
    facts: Callable[[object], tuple[int, float]]


def columns(file: Path) -> list:
    import pyarrow.parquet as pq

    return [column.to_numpy() for column in pq.read_table(file).columns]


def compressed(matrix: Matrix, row, col, value):
    """SciPy's CSR, in which entries with the same coordinates are one, and numbers are of 32 bits where these suffice."""
    from scipy.sparse import coo_array

    return coo_array((value, (row, col)), shape=(matrix.side, matrix.side)).tocsr()


def matrix_facts(product) -> tuple[int, float]:
    return product.nnz, product.data.sum()


def vector_facts(product) -> tuple[int, float]:
    # Nothing cancels, so rows with entries are those that are not zero.
    return int((product != 0).sum()), product.sum()


def scipy(matrix: Matrix, folder: Path) -> Iterator[Way]:
    import scipy

    yield from on_csr(f"SciPy {scipy.__version__}", lambda a, b: a @ b, matrix, folder)


def mkl(matrix: Matrix, folder: Path) -> Iterator[Way]:
    if "MKL_RT" not in os.environ:
        # Where the package puts the library is none of the places that are searched.
        library = next(file for file in files("mkl") if file.name.startswith(("libmkl_rt.", "mkl_rt.")))
        os.environ["MKL_RT"] = str(library.locate().resolve())
    from sparse_dot_mkl import dot_product_mkl, mkl_set_num_threads

    mkl_set_num_threads(THREADS)
    yield from on_csr(f"Intel MKL {version('mkl')}", dot_product_mkl, matrix, folder)


def on_csr(name: str, product: Callable, matrix: Matrix, folder: Path) -> Iterator[Way]:
    table = columns(matrix.file(folder))
    a = compressed(matrix, *table)
    if matrix.kind == "sorted":
        _, x = columns(matrix.vector_file(folder))
        yield Way(f"{name}, from CSR", lambda: product(a, x), vector_facts)
        return

    def with_conversion():
        a = compressed(matrix, *table)
        return product(a, a)

    yield Way(f"{name}, from CSR", lambda: product(a, a), matrix_facts)
    yield Way(f"{name}, from a table", with_conversion, matrix_facts)


def graphblas(matrix: Matrix, folder: Path) -> Iterator[Way]:
    import graphblas as gb
    import suitesparse_graphblas as suitesparse

    gb.ss.config["nthreads"] = THREADS
    name = f"SuiteSparse:GraphBLAS {suitesparse.__version__}"
    table = columns(matrix.file(folder))
    times = gb.semiring.plus_times

    def build() -> gb.Matrix:
        return gb.Matrix.from_coo(*table, nrows=matrix.side, ncols=matrix.side, dup_op=gb.binary.plus)

    def facts(product) -> tuple[int, float]:
        return product.nvals, product.to_coo()[-1].sum()

    a = build()
    if matrix.kind == "sorted":
        x = gb.Vector.from_dense(columns(matrix.vector_file(folder))[1])
        yield Way(f"{name}, from CSR", lambda: times(a @ x).new(), facts)
        return

    def with_conversion():
        a = build()
        return times(a @ a).new()

    yield Way(f"{name}, from CSR", lambda: times(a @ a).new(), facts)
    yield Way(f"{name}, from a table", with_conversion, facts)


def duckdb(matrix: Matrix, folder: Path) -> Iterator[Way]:
    import duckdb

    connection = duckdb.connect(config={"threads": THREADS, "temp_directory": str(folder / "spilled")})
    name = f"DuckDB {duckdb.__version__}"
    if matrix.kind == "sorted":
        query = f"""
            SELECT count(*), sum(value), max(row)
            FROM (SELECT a.row, sum(a.value * x.value) AS value
                  FROM '{matrix.file(folder)}' a JOIN '{matrix.vector_file(folder)}' x ON a.col = x.idx
                  GROUP BY a.row)"""
        yield Way(f"{name}, from Parquet", lambda: connection.execute(query).fetchall()[0], first_two)
        return
    connection.execute(f"CREATE TABLE a AS FROM '{matrix.file(folder)}'")
    query = """
        SELECT count(*), sum(value), max(row), max(col)
        FROM (SELECT a.row, b.col, sum(a.value * b.value) AS value
              FROM a JOIN a AS b ON a.col = b.row
              GROUP BY a.row, b.col)"""
    yield Way(f"{name}, from a table", lambda: connection.execute(query).fetchall()[0], first_two)


def polars(matrix: Matrix, folder: Path) -> Iterator[Way]:
    import polars as pl

    name = f"Polars {pl.__version__}"
    value = (pl.col("value") * pl.col("value_right")).sum()
    if matrix.kind == "sorted":
        a, x = pl.scan_parquet(matrix.file(folder)), pl.scan_parquet(matrix.vector_file(folder))
        product = a.join(x, left_on="col", right_on="idx").group_by("row").agg(value)
        row, source = product.select(pl.len(), pl.sum("value"), pl.max("row")), "Parquet"
    else:
        a = pl.read_parquet(matrix.file(folder)).lazy()
        product = a.join(a, left_on="col", right_on="row").group_by("row", "col_right").agg(value)
        row, source = product.select(pl.len(), pl.sum("value"), pl.max("row"), pl.max("col_right")), "a table"
    yield Way(f"{name}, from {source}", lambda: row.collect(engine="streaming").row(0), first_two)


def first_two(row: tuple) -> tuple[int, float]:
    return row[:2]


SYSTEMS = {"scipy": scipy, "graphblas": graphblas, "mkl": mkl, "duckdb": duckdb, "polars": polars}


def measure(way: Way, rounds: int) -> dict:
    seconds = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        result = way.run()
        seconds.append(time.perf_counter() - start)
        count, total = way.facts(result)
        # Two results at a time may be more than the machine holds.
        del result
    # The first was to warm up.
    return {"name": way.name, "seconds": seconds[1:], "count": int(count), "sum": float(total)}


def main():
    system, folder, matrix, rounds = sys.argv[1:]
    ways = SYSTEMS[system](MATRICES[matrix], Path(folder))
    print(json.dumps([measure(way, int(rounds)) for way in ways]))


if __name__ == "__main__":
    main()
