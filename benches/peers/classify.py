"""Classifies the JPEGs of a Parquet file with several systems, and prints a table: python classify.py MODEL_FOLDER PARQUET

    --only NAME ...   run these systems only, and PyTorch, which is the reference
    --ours CMD        run CMD MODEL_FOLDER PARQUET OUT_CSV instead of `cargo run … --example job`
    --rounds N        samples per system; the table shows the median (3)

In addition to PyTorch, ONNX Runtime is measured in a plain loop, in UDFs of Daft and DuckDB, and in Ocelli, which also runs rten.

The file has a column `image`; MODEL_FOLDER is one that `models.py` wrote. The packages are those of requirements.txt.

Every system is a process of its own, run in the repository root, which loads the model, classifies one batch as a warm-up, and
then times the job, including reading the file. Each may use all cores. Memory includes child processes. Agreement is the
fraction of rows with the same label as PyTorch.
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
# The other systems preprocess images with the same code, but in other batches, so sums may be rounded differently.
MIN_AGREEMENT = 0.99
# Ocelli has another decoder, and the random model's scores are nearly tied: random pixel differences of 1 change the label of one
# image in twenty with ResNet-18, and of one in ten with ResNet-50.
MIN_AGREEMENT_OURS = 0.85
# All systems run on the CPU; see gpu.py for GPUs.
CPU = {"OCELLI_GPU_ADAPTER": ""}


@dataclass
class System:
    name: str
    version: str
    command: list[str]
    min_agreement: float = MIN_AGREEMENT
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
    # The library of the Python package, so that all systems run the same version.
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
        System("ours-rten", ocelli, command, MIN_AGREEMENT_OURS, {"OCELLI_ORT_LIB": "", **CPU}),
        System("ours-ort", ocelli, command, MIN_AGREEMENT_OURS, {"OCELLI_ORT_LIB": str(library), **CPU}),
    ]


def run(system: System, model: Path, parquet: Path):
    with tempfile.NamedTemporaryFile("r") as out, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [*system.command, str(model), str(parquet), out.name],
            cwd=ROOT,
            # Disables usage reports.
            env=os.environ | {"DO_NOT_TRACK": "1"} | system.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        system.peak = max(system.peak, peak_memory(process))
        output.seek(0)
        text = output.read()
        rate = re.search(r"^images/s: ([\d.]+)$", text, re.MULTILINE)
        if process.returncode != 0 or rate is None:
            sys.exit(f"{system.name}: '{shlex.join(process.args)}' printed no rate or failed:\n{text}")
        system.rates.append(float(rate[1]))
        system.labels = Path(out.name).read_text().splitlines()


def peak_memory(process: subprocess.Popen) -> int:
    """Waits for the process and returns the peak memory of it and its children in bytes, with shared pages counted once.

    The sum is sampled twice a second. A shorter peak is only recorded if it is of the process itself.
    """
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return max(peak, usage.ru_maxrss * 1024)
        peak = max(peak, proportional_set_size(process.pid))
        time.sleep(0.5)


def proportional_set_size(pid: int) -> int:
    try:
        family = [parent := psutil.Process(pid), *parent.children(recursive=True)]
        return sum(member.memory_full_info().pss for member in family)
    except psutil.Error:
        # One of the processes has ended in the meantime.
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
        sys.exit(f"unknown system '{unknown.pop()}'; expected one of {', '.join(s.name for s in (reference, *others))}")
    selected = [reference, *(system for system in others if not arguments.only or system.name in arguments.only)]
    if not arguments.ours and any(system.name.startswith("ours") for system in selected):
        # Built beforehand, so that the compiler's memory is not measured.
        subprocess.run(["cargo", "build", *JOB], cwd=ROOT, check=True)
    for _ in range(arguments.rounds):
        for system in selected:
            run(system, arguments.model.resolve(), arguments.parquet.resolve())

    print("| system | version | images/s | ratio | peak memory | agreement |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    base = median(reference.rates)
    for system in selected:
        rate, agreed = median(system.rates), agreement(system, reference)
        print(
            f"| {system.name} | {system.version} | {rate:.1f} | {rate / base:.2f} "
            f"| {system.peak / 2**20:.0f} MiB | {agreed:.1%} |"
        )
    if wrong := [system.name for system in selected if agreement(system, reference) < system.min_agreement]:
        sys.exit(f"labels differ by more than the tolerance: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
