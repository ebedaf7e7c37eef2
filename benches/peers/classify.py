"""Classifies the JPEGs of a Parquet file with several systems, and prints a table: python classify.py MODEL_FOLDER PARQUET

    --only NAME ...   these systems alone, and PyTorch, with which all are compared
    --ours CMD        what runs as CMD MODEL_FOLDER PARQUET OUT_CSV in place of `cargo run … --example job`
    --rounds N        how often each system has its turn; the table shows the median (3)

Beside PyTorch there is ONNX Runtime, in a plain loop, in Daft's and DuckDB's functions, and in ours, which runs rten, too.

The file has a column `image`; MODEL_FOLDER is one that `models.py` wrote. The packages are those of requirements.txt.

Every system is a process of its own, run in the repository root, which loads the model, classifies one batch to warm up, and
then times the job, reading the file included. All cores are there for each. Memory counts child processes too. Agreement is the
share of rows, in order, that have PyTorch's label.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

import onnxruntime
import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
JOB = ["--release", "-q", "-p", "ocelli-benches", "--example", "job"]
# The others prepare images with the same code, but not in the same batches, and sums may be rounded differently.
LEAST_SHARED = 0.99
# Ours has another decoder, and the made-up model's classes lie close together: pixels that are off by one, chosen at random,
# change the label of one image in twenty with ResNet-18, and of one in ten with ResNet-50.
LEAST_OURS = 0.85
# All of them are on the CPU; see gpu.py.
CPU = {"OCELLI_GPU_ADAPTER": ""}


@dataclass
class System:
    name: str
    version: str
    command: list[str]
    least_agreement: float = LEAST_SHARED
    environment: dict[str, str] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    peak: int = 0
    labels: list[str] = field(default_factory=list)


def script(name: str, package: str) -> System:
    file = HERE / f"{name.replace('-', '_')}.py"
    return System(name, f"{package} {version(package)}", [sys.executable, str(file)])


def systems(ours: str | None) -> list[System]:
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    ocelli = f"ocelli {manifest['workspace']['package']['version']}"
    # The library of the Python package, so that both run the same.
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))
    command = shlex.split(ours) if ours else ["cargo", "run", *JOB, "--"]
    return [
        script("pytorch", "torch"),
        script("pytorch-channels-last", "torch"),
        script("dask-torch", "dask"),
        script("daft-torch", "daft"),
        script("duckdb-torch", "duckdb"),
        script("ort-loop", "onnxruntime"),
        script("daft-ort", "daft"),
        script("duckdb-ort", "duckdb"),
        System("ours-rten", ocelli, command, LEAST_OURS, {"OCELLI_ORT_LIB": "", **CPU}),
        System("ours-ort", ocelli, command, LEAST_OURS, {"OCELLI_ORT_LIB": str(library), **CPU}),
    ]


def run(system: System, model: Path, parquet: Path):
    with tempfile.NamedTemporaryFile("r") as out, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [*system.command, str(model), str(parquet), out.name],
            cwd=ROOT,
            # A measurement sends no usage reports.
            env=os.environ | {"DO_NOT_TRACK": "1"} | system.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        system.peak = max(system.peak, peak_memory(process))
        output.seek(0)
        said = output.read()
        rate = re.search(r"^images/s: ([\d.]+)$", said, re.MULTILINE)
        if process.returncode != 0 or rate is None:
            sys.exit(f"{system.name}: '{shlex.join(process.args)}' printed no rate or failed:\n{said}")
        system.rates.append(float(rate[1]))
        system.labels = Path(out.name).read_text().splitlines()


def peak_memory(process: subprocess.Popen) -> int:
    """Waits for the process, and gives what it and its children held at most, in bytes, with shared pages counted once.

    That is looked at twice a second. A peak in between is seen all the same where it is that of the process alone.
    """
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return max(peak, usage.ru_maxrss * 1024)
        peak = max(peak, held(process.pid))
        time.sleep(0.5)


def held(pid: int) -> int:
    try:
        family = [parent := psutil.Process(pid), *parent.children(recursive=True)]
        return sum(member.memory_full_info().pss for member in family)
    except psutil.Error:
        # One of them has ended meanwhile.
        return 0


def agreement(system: System, reference: System) -> float:
    if len(system.labels) != len(reference.labels):
        sys.exit(f"{system.name}: {len(system.labels)} labels for {len(reference.labels)} images")
    return sum(map(str.__eq__, system.labels, reference.labels)) / len(reference.labels)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("parquet", type=Path)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--ours")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    reference, *others = systems(arguments.ours)
    if unknown := set(arguments.only or []) - {system.name for system in (reference, *others)}:
        sys.exit(f"no system is called '{unknown.pop()}'; there are {', '.join(s.name for s in (reference, *others))}")
    chosen = [reference, *(system for system in others if not arguments.only or system.name in arguments.only)]
    if not arguments.ours and any(system.name.startswith("ours") for system in chosen):
        # The compiler's memory is not ours.
        subprocess.run(["cargo", "build", *JOB], cwd=ROOT, check=True)
    for _ in range(arguments.rounds):
        for system in chosen:
            run(system, arguments.model.resolve(), arguments.parquet.resolve())

    print("| system | version | images/s | ratio | peak memory | agreement |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    base = median(reference.rates)
    for system in chosen:
        rate, agreed = median(system.rates), agreement(system, reference)
        print(
            f"| {system.name} | {system.version} | {rate:.1f} | {rate / base:.2f} "
            f"| {system.peak / 2**20:.0f} MiB | {agreed:.1%} |"
        )
    if wrong := [system.name for system in chosen if agreement(system, reference) < system.least_agreement]:
        sys.exit(f"labels differ more than decoders do: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
