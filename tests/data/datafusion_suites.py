"""Writes DataFusion's own .slt suites and their data to a folder: python3 tests/data/datafusion_suites.py FOLDER

The suites are in the crate datafusion-sqllogictest, of the version in Cargo.lock; cargo downloads it without building it.
The script prints the value of OCELLI_DATAFUSION_SLT, FOLDER/datafusion/sqllogictest/test_files. tpchgen-cli (PyPI) writes
the tables of TPC-H. The other tables that suites for joins and aggregates read are not in the crate; they are replaced by
synthetic rows with the same columns and order: two engines can be compared on them, but not with the expected results.
"""

import csv
import os
import random
import shutil
import string
import subprocess
import sys
import tomllib
from pathlib import Path

LOCK = Path(__file__).parents[2] / "Cargo.lock"


def main(folder):
    for name in ("datafusion", "testing"):
        shutil.rmtree(folder / name, ignore_errors=True)
    test_files = folder / "datafusion/sqllogictest/test_files"
    shutil.copytree(suites(), test_files)
    tpch("tbl", "0.1", test_files / "tpch/data")
    tpch("csv", "0.001", folder / "datafusion/core/tests/tpch-csv", "--tables=customer,orders,lineitem")
    for name, header, rows in tables():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows(([header] if header else []) + rows)
    print(test_files.resolve())


def suites():
    """The suites in the unpacked crate, which `cargo info` downloads."""
    packages = tomllib.loads(LOCK.read_text())["package"]
    [version] = [package["version"] for package in packages if package["name"] == "datafusion"]
    # Outside of the workspace, whose dependencies cargo would resolve first.
    crate = f"datafusion-sqllogictest@{version}"
    subprocess.run(["cargo", "info", "--quiet", crate], check=True, stdout=subprocess.DEVNULL, cwd="/")
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    return next(home.glob(f"registry/src/*/{crate.replace('@', '-')}/test_files"))


def tpch(form, scale, folder, *arguments):
    folder.mkdir(parents=True)
    subprocess.run(["tpchgen-cli", form, f"--scale-factor={scale}", f"--output-dir={folder}", *arguments], check=True)


def tables():
    """The path, header and rows of each synthetic table."""
    seeded = random.Random(1)
    columns = [f"c{number}" for number in range(1, 16)]
    rows = [
        [
            seeded.choice("abcde"),
            seeded.randint(1, 5),
            *(seeded.randrange(-(2**bits), 2**bits) for bits in (7, 15, 31, 63)),
            *(seeded.randrange(2**bits) for bits in (8, 16, 32, 64)),
            round(seeded.random(), 7),
            seeded.random(),
            "".join(seeded.choices(string.ascii_letters + string.digits, k=30)),
            f"2024-{seeded.randint(1, 12):02}-{seeded.randint(1, 28):02}",
            f"2024-01-01T{seeded.randrange(24):02}:{seeded.randrange(60):02}:00",
        ]
        for _ in range(100)
    ]
    testing, core = "testing/data/csv", "datafusion/core/tests/data"
    yield f"{testing}/aggregate_test_100.csv", columns[:13], [row[:13] for row in rows]
    yield f"{testing}/aggregate_test_100_with_dates.csv", columns, rows
    simple = [[number / 100000, number / 1e12, boolean(number)] for number in range(1, 6) for _ in range(number)]
    yield f"{core}/aggregate_simple.csv", columns[:3], simple
    # The following tables are sorted as the suites declare.
    window = [[0, row // 50, row // 25, row, seeded.randrange(5)] for row in range(100)]
    yield f"{core}/window_2.csv", ["a0", "a", "b", "c", "d"], window
    order = [[row, 2 if 5 <= row <= 9 else 1, row] for row in range(1, 11)]
    yield f"{core}/aggregate_agg_multi_order.csv", columns[:3], order
    yield f"{core}/convert_first_last.csv", columns[:3], [[row, 10 - row, row] for row in range(1, 11)]
    times = [["dan", "2018-12-13T12:12:10.011"], ["cid", "2018-12-13T12:12:10.011"], ["bea", "2018-11-13T17:11:10.011"]]
    yield f"{core}/timestamps.csv", None, times
    for part in range(4):
        yield f"{core}/partitioned_csv/partition-{part}.csv", None, [[part, row, boolean(row)] for row in range(11)]


def boolean(number):
    return "true" if number % 2 == 0 else "false"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
