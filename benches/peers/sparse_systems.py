"""Runs one job of sparse_matmul.py with one system in this process: python sparse_systems.py SYSTEM FOLDER MATRIX ROUNDS

The last line printed is JSON: for each method of the system, the times, and the count and the sum of the result's entries.

The timed code computes every entry of the result, in any order, and stores none of them in a table: libraries drop the matrix that
they return, and SQL engines aggregate the result to one row that depends on all columns. That costs them a pass over the result
and saves the transfer; DuckDB needs the same time to return it in Arrow batches.
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
class Method:
    name: str
    run: Callable[[], object]
    # Count and sum of the entries of the value that `run` returns.
    count_and_sum: Callable[[object], tuple[int, float]]


def columns(file: Path) -> list:
    import pyarrow.parquet as pq

    return [column.to_numpy() for column in pq.read_table(file).columns]


def to_csr(matrix: Matrix, row, col, value):
    """Converts to SciPy's CSR, which sums duplicate coordinates and uses 32-bit indices if they suffice."""
    from scipy.sparse import coo_array

    return coo_array((value, (row, col)), shape=(matrix.side, matrix.side)).tocsr()


def matrix_count_and_sum(product) -> tuple[int, float]:
    return product.nnz, product.data.sum()


def vector_count_and_sum(product) -> tuple[int, float]:
    # No sum cancels, so rows with entries are nonzero.
    return int((product != 0).sum()), product.sum()


def scipy(matrix: Matrix, folder: Path) -> Iterator[Method]:
    import scipy

    yield from on_csr(f"SciPy {scipy.__version__}", lambda a, b: a @ b, matrix, folder)


def mkl(matrix: Matrix, folder: Path) -> Iterator[Method]:
    if "MKL_RT" not in os.environ:
        # The package installs the library outside the search path.
        library = next(file for file in files("mkl") if file.name.startswith(("libmkl_rt.", "mkl_rt.")))
        os.environ["MKL_RT"] = str(library.locate().resolve())
    from sparse_dot_mkl import dot_product_mkl, mkl_set_num_threads

    mkl_set_num_threads(THREADS)
    yield from on_csr(f"Intel MKL {version('mkl')}", dot_product_mkl, matrix, folder)


def on_csr(name: str, product: Callable, matrix: Matrix, folder: Path) -> Iterator[Method]:
    table = columns(matrix.file(folder))
    a = to_csr(matrix, *table)
    if matrix.kind == "sorted":
        _, x = columns(matrix.vector_file(folder))
        yield Method(f"{name}, from CSR", lambda: product(a, x), vector_count_and_sum)
        return

    def with_conversion():
        a = to_csr(matrix, *table)
        return product(a, a)

    yield Method(f"{name}, from CSR", lambda: product(a, a), matrix_count_and_sum)
    yield Method(f"{name}, from a table", with_conversion, matrix_count_and_sum)


def graphblas(matrix: Matrix, folder: Path) -> Iterator[Method]:
    import graphblas as gb
    import suitesparse_graphblas as suitesparse

    gb.ss.config["nthreads"] = THREADS
    name = f"SuiteSparse:GraphBLAS {suitesparse.__version__}"
    table = columns(matrix.file(folder))
    times = gb.semiring.plus_times

    def build() -> gb.Matrix:
        return gb.Matrix.from_coo(*table, nrows=matrix.side, ncols=matrix.side, dup_op=gb.binary.plus)

    def count_and_sum(product) -> tuple[int, float]:
        return product.nvals, product.to_coo()[-1].sum()

    a = build()
    if matrix.kind == "sorted":
        x = gb.Vector.from_dense(columns(matrix.vector_file(folder))[1])
        yield Method(f"{name}, from CSR", lambda: times(a @ x).new(), count_and_sum)
        return

    def with_conversion():
        a = build()
        return times(a @ a).new()

    yield Method(f"{name}, from CSR", lambda: times(a @ a).new(), count_and_sum)
    yield Method(f"{name}, from a table", with_conversion, count_and_sum)


def duckdb(matrix: Matrix, folder: Path) -> Iterator[Method]:
    import duckdb

    connection = duckdb.connect(config={"threads": THREADS, "temp_directory": str(folder / "spilled")})
    name = f"DuckDB {duckdb.__version__}"
    if matrix.kind == "sorted":
        query = f"""
            SELECT count(*), sum(value), max(row)
            FROM (SELECT a.row, sum(a.value * x.value) AS value
                  FROM '{matrix.file(folder)}' a JOIN '{matrix.vector_file(folder)}' x ON a.col = x.idx
                  GROUP BY a.row)"""
        yield Method(f"{name}, from Parquet", lambda: connection.execute(query).fetchall()[0], first_two)
        return
    connection.execute(f"CREATE TABLE a AS FROM '{matrix.file(folder)}'")
    query = """
        SELECT count(*), sum(value), max(row), max(col)
        FROM (SELECT a.row, b.col, sum(a.value * b.value) AS value
              FROM a JOIN a AS b ON a.col = b.row
              GROUP BY a.row, b.col)"""
    yield Method(f"{name}, from a table", lambda: connection.execute(query).fetchall()[0], first_two)


def polars(matrix: Matrix, folder: Path) -> Iterator[Method]:
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
    yield Method(f"{name}, from {source}", lambda: row.collect(engine="streaming").row(0), first_two)


def first_two(row: tuple) -> tuple[int, float]:
    return row[:2]


SYSTEMS = {"scipy": scipy, "graphblas": graphblas, "mkl": mkl, "duckdb": duckdb, "polars": polars}


def measure(method: Method, rounds: int) -> dict:
    seconds = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        result = method.run()
        seconds.append(time.perf_counter() - start)
        count, total = method.count_and_sum(result)
        # Two results at once may exceed the memory of the machine.
        del result
    # The first run is a warm-up.
    return {"name": method.name, "seconds": seconds[1:], "count": int(count), "sum": float(total)}


def main():
    system, folder, matrix, rounds = sys.argv[1:]
    methods = SYSTEMS[system](MATRICES[matrix], Path(folder))
    print(json.dumps([measure(method, int(rounds)) for method in methods]))


if __name__ == "__main__":
    main()
