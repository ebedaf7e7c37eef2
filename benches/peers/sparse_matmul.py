"""Multiplies sparse matrices with several systems, and prints a table: python sparse_matmul.py FOLDER [MATRIX ...]

    --only NAME ...   these systems alone: scipy, graphblas, mkl, duckdb, polars
    --rounds N        how often each has its turn after one to warm up; the table shows the median (3)

The matrices are tables (row, col, value) in FOLDER, written there by sparse_matrices.py where they are missing: rmat14, er100k
and er1m are multiplied with themselves, and spmv64m, of 0.9 GB, with a vector. The packages are those of requirements.txt.

Every system is a process of its own per matrix, with two threads. `from CSR` is the product alone, of a matrix that is compressed
already; `from a table` starts with rows in memory and in the order of the file, and `from Parquet` reads them, too. er1m and
spmv64m take several GB of memory in some of the systems.

Where there is cargo, ours comes last, on the same files, beside the join that it is.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

from sparse_matrices import MATRICES, Matrix, write
from sparse_systems import SYSTEMS, THREADS

# Sums are added up in another order by each.
TOLERANCE = 1e-9
MISSING = ("ModuleNotFoundError", "importlib.metadata.PackageNotFoundError")
LIMITED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


def run(system: str, matrix: Matrix, folder: Path, rounds: int) -> list[dict] | str:
    """The ways that the system has, each with its times, or why there are none."""
    process = subprocess.run(
        [sys.executable, "sparse_systems.py", system, str(folder), matrix.name, str(rounds)],
        cwd=Path(__file__).parent,
        env=os.environ | {name: str(THREADS) for name in LIMITED},
        capture_output=True,
        text=True,
    )
    if process.returncode == 0:
        return json.loads(process.stdout.splitlines()[-1])
    if process.returncode < 0:
        return f"ended by signal {-process.returncode}, as by too little memory"
    reason = (process.stderr.strip().splitlines() or ["no reason given"])[-1]
    return "not installed" if reason.startswith(MISSING) else reason


def differs(way: dict, reference: dict) -> bool:
    return way["count"] != reference["count"] or not math.isclose(way["sum"], reference["sum"], rel_tol=TOLERANCE)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("matrices", nargs="*", metavar="MATRIX")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if unknown := set(arguments.matrices) - MATRICES.keys():
        sys.exit(f"no matrix is called '{unknown.pop()}'; there are {', '.join(MATRICES)}")

    folder = arguments.folder.resolve()
    wrong = []
    print("| system | matrix | seconds | M products/s | nonzeros of the result |")
    print("| --- | --- | ---: | ---: | ---: |")
    for matrix in (MATRICES[name] for name in arguments.matrices or MATRICES):
        write(matrix, folder)
        products = matrix.products(folder)
        reference = None
        for system in arguments.only:
            ways = run(system, matrix, folder, arguments.rounds)
            if isinstance(ways, str):
                print(f"| {system} | {matrix.name} | {ways} | | |", flush=True)
                continue
            for way in ways:
                reference = reference or way
                seconds = median(way["seconds"])
                rate = products / seconds / 1e6
                print(f"| {way['name']} | {matrix.name} | {seconds:.3f} | {rate:.1f} | {way['count']:,} |", flush=True)
                if differs(way, reference):
                    wrong.append(
                        f"{matrix.name}: {way['name']} has {way['count']} entries with the sum {way['sum']}, "
                        f"{reference['name']} has {reference['count']} with {reference['sum']}"
                    )
    if shutil.which("cargo") and arguments.only == list(SYSTEMS):
        bench = ["cargo", "bench", "-q", "-p", "ocelli-benches", "--bench", "sparse_matmul", "--", *arguments.matrices]
        environment = os.environ | {"OCELLI_BENCH_MATRICES": str(folder)}
        subprocess.run(bench, cwd=Path(__file__).parent, env=environment, check=True)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
