"""Random folders, and the files that patterns select in them by DuckDB's glob() (duckdb 2.0.1): python3 make.py > expected.json

Names that start with "_" or "." are left out where the pattern does not restrict the file's name: they are marker files.
"""

import json
import os
import random
import tempfile

import duckdb

FOLDERS = ["a", "b", "ab", "k=1", "k=2", "z=x", ".h", "c d", "é", "2024"]
FILES = ["a.csv", "b.csv", "ab.csv", "_a.csv", ".h.csv", "k=1.csv", "d e.csv", "é.csv", "10.csv"]
STEPS = ["*", "**", "?", "a*", "*b", "[ab]", "[!a]*", "k=*", "a", "k=1", "*=*", "[0-9]*", ".h"]
ENDS = ["*.csv", "?.csv", "a*.csv", "[ab].csv", "*", "**", "b.csv", "k=*.csv", "*[!b].csv", "[0-9][0-9].csv"]


def main():
    random.seed(1)
    start, trees = os.getcwd(), []
    for _ in range(100):
        with tempfile.TemporaryDirectory() as root:
            os.chdir(root)
            files = set()
            for _ in range(random.randint(1, 14)):
                folders = [random.choice(FOLDERS) for _ in range(random.randint(0, 3))]
                files.add("/".join([*folders, random.choice(FILES)]))
            for file in files:
                os.makedirs(os.path.dirname(file) or ".", exist_ok=True)
                with open(file, "w") as out:
                    out.write(f"path\n{file}\n")
            patterns = {}
            while len(patterns) < 4:
                steps = [random.choice(STEPS) for _ in range(random.randint(0, 3))]
                end = random.choice(ENDS)
                pattern = "/".join([*steps, end])
                # DuckDB allows one "**".
                if pattern.count("**") > 1:
                    continue
                found = [row[0] for row in duckdb.sql(f"SELECT file FROM glob('{pattern}')").fetchall()]
                if end in ("*", "**"):
                    found = [file for file in found if os.path.basename(file)[0] not in "_."]
                patterns[pattern] = sorted(found)
            trees.append({"files": sorted(files), "patterns": patterns})
            os.chdir(start)
    print(json.dumps(trees, ensure_ascii=False, separators=(",", ":")))


main()
