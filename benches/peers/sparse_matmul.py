"""Multiplies sparse matrices with several systems, and prints a table: python sparse_matmul.py FOLDER [MATRIX ...]

    --only NAME ...   run these systems only: scipy, graphblas, mkl, duckdb, polars
    --rounds N        samples per system, after a warm-up; the table shows the median (3)

The matrices are tables (row, col, value) in FOLDER, written by sparse_matrices.py if they are missing: rmat14, er100k
and er1m are multiplied with themselves, and spmv64m, of 0.9 GB, with a vector. The packages are those of requirements.txt.

Every system is a process of its own per matrix, with two threads. `from CSR` is the product alone, of a matrix in CSR
format; `from a table` starts with rows in memory in the order of the file, and `from Parquet` includes reading them. er1m and
spmv64m need several GB of memory in some systems.

If cargo is installed, Ocelli runs last on the same files, as a sparse product and as a join.
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

# Each system adds in another order.
TOLERANCE = 1e-9
MISSING = ("ModuleNotFoundError", "importlib.metadata.PackageNotFoundError")
LIMITED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


def run(system: str, matrix: Matrix, folder: Path, rounds: int) -> list[dict] | str:
    """The methods of the system, each with its times, or the reason why there are none."""
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
        return f"terminated by signal {-process.returncode}, possibly out of memory"
    reason = (process.stderr.strip().splitlines() or ["no reason given"])[-1]
    return "not installed" if reason.startswith(MISSING) else reason


def differs(method: dict, reference: dict) -> bool:
    return method["count"] != reference["count"] or not math.isclose(method["sum"], reference["sum"], rel_tol=TOLERANCE)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("matrices", nargs="*", metavar="MATRIX")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if unknown := set(arguments.matrices) - MATRICES.keys():
        sys.exit(f"unknown matrix '{unknown.pop()}'; expected one of {', '.join(MATRICES)}")

    folder = arguments.folder.resolve()
    wrong = []
    print("| system | matrix | seconds | M products/s | nonzeros of the result |")
    print("| --- | --- | ---: | ---: | ---: |")
    for matrix in (MATRICES[name] for name in arguments.matrices or MATRICES):
        write(matrix, folder)
        products = matrix.products(folder)
        reference = None
        for system in arguments.only:
            methods = run(system, matrix, folder, arguments.rounds)
            if isinstance(methods, str):
                print(f"| {system} | {matrix.name} | {methods} | | |", flush=True)
                continue
            for method in methods:
                reference = reference or method
                seconds = median(method["seconds"])
                rate = products / seconds / 1e6
                print(f"| {method['name']} | {matrix.name} | {seconds:.3f} | {rate:.1f} | {method['count']:,} |", flush=True)
                if differs(method, reference):
                    wrong.append(
                        f"{matrix.name}: {method['name']} has {method['count']} entries with the sum {method['sum']}, "
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
