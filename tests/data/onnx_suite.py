"""Writes ONNX's own test cases for tests/integration/onnx_suite.rs: python3 tests/data/onnx_suite.py FOLDER

The cases are those of the package onnx: one operator each (onnx.backend.test.case.node), and the converted models with data that it contains.
predict takes rows, and most cases have none, so each model is wrapped: an input [1, elements] is reshaped to the shape of the case, and an
output to [1, elements]. Integers and booleans beside an input of floats (axes, shapes, indices) become initializers, as exporters write them.

FOLDER receives NAME.onnx, NAME.parquet with the inputs x0, … and the expected outputs y0, …, and cases.csv: the name, the operators of the graph
before it was wrapped, and the numbers of inputs and outputs; VERSION is that of onnx.
"""

import copy
import csv
import shutil
import sys
import warnings
from pathlib import Path

import numpy
import onnx
import pyarrow
import pyarrow.parquet
from onnx import helper, numpy_helper

# Their results are random.
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
RANDOM_CASES = {f"test_training_dropout{suffix}" for suffix in ("", "_mask", "_default", "_default_mask")}


def node_cases():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        # The expected values of some cases are infinite.
        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            if case.model is not None and case.data_sets:
                yield case.name, case.model, *case.data_sets[0]


def model_cases():
    root = Path(onnx.__file__).parent / "backend/test/data"
    for folder in sorted([*root.glob("pytorch-*/*"), *root.glob("simple/*")]):
        data = folder / "test_data_set_0"
        if not (data / "output_0.pb").exists():
            continue
        try:
            inputs, outputs = tensors(data, "input"), tensors(data, "output")
        except Exception:  # Sequences and maps are no tensors.
            continue
        yield f"{folder.parent.name}_{folder.name}".replace("-", "_"), onnx.load(folder / "model.onnx"), inputs, outputs


def tensors(data, kind):
    files = [data / f"{kind}_{i}.pb" for i in range(len(list(data.glob(f"{kind}_*.pb"))))]
    return [numpy_helper.to_array(onnx.load_tensor(file)) for file in files]


def is_supported(value):
    """Whether it is a tensor with elements, of a type that Arrow has: not those of ml_dtypes, such as bfloat16."""
    if not isinstance(value, (numpy.ndarray, numpy.generic)) or value.size == 0:
        return False
    return value.dtype.kind in "OU" or (value.dtype.kind in "fiub" and value.dtype.type.__module__ == "numpy")


def operators(graph):
    for node in graph.node:
        yield f"{node.domain}.{node.op_type}".lstrip(".")
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from operators(inner)


def wrap(model, inputs, outputs):
    """The wrapped model, and the values of its inputs."""
    model = copy.deepcopy(model)
    graph = model.graph
    initialized = {tensor.name for tensor in graph.initializer}
    infos = [info for info in graph.input if info.name not in initialized]
    has_floats = any(value.dtype.kind == "f" for value in inputs)
    before, after, kept, wrapped = [], [], [], []
    for info, value in zip(infos, inputs):
        if has_floats and value.dtype.kind in "iub":
            graph.initializer.append(numpy_helper.from_array(value, info.name))
            continue
        name, shape = f"x{len(kept)}", f"x{len(kept)} shape"
        graph.initializer.append(numpy_helper.from_array(numpy.array(value.shape, numpy.int64), shape))
        before.append(helper.make_node("Reshape", [name, shape], [info.name]))
        wrapped.append(helper.make_tensor_value_info(name, info.type.tensor_type.elem_type, [1, value.size]))
        kept.append(value)
    graph.initializer.append(numpy_helper.from_array(numpy.array([1, -1], numpy.int64), "row shape"))
    results = []
    for index, (info, value) in enumerate(zip(graph.output, outputs)):
        after.append(helper.make_node("Reshape", [info.name, "row shape"], [f"y{index}"]))
        results.append(helper.make_tensor_value_info(f"y{index}", info.type.tensor_type.elem_type, [1, value.size]))
    nodes = [*before, *graph.node, *after]
    for field, values in (("node", nodes), ("input", wrapped), ("output", results)):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    graph.ClearField("value_info")
    # Initializers that are not inputs need version 4 of the format.
    model.ir_version = max(model.ir_version, 4)
    return model, kept


def column(value):
    """One row with all elements."""
    flat = value.reshape(-1)
    if flat.dtype.kind in "OU":
        flat = [text.decode() if isinstance(text, bytes) else str(text) for text in flat]
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat), len(flat))


def opset(model):
    return max([entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")], default=0)


def main():
    out = Path(sys.argv[1])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "VERSION").write_text(onnx.__version__)
    with open(out / "cases.csv", "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["name", "operators", "inputs", "outputs"])
        for name, model, inputs, outputs in [*node_cases(), *model_cases()]:
            used = set(operators(model.graph)) | {op for function in model.functions for op in operators(function)}
            initialized = {tensor.name for tensor in model.graph.initializer}
            given = [info for info in model.graph.input if info.name not in initialized]
            fits = len(inputs) == len(given) and len(outputs) == len(model.graph.output)
            # Reshape takes its shape as an input since opset 5.
            if used & RANDOM or name in RANDOM_CASES or not inputs or not fits or not all(map(is_supported, [*inputs, *outputs])) or opset(model) < 5:
                continue
            inputs, outputs = ([numpy.asarray(value) for value in values] for values in (inputs, outputs))
            model, kept = wrap(model, inputs, outputs)
            columns = {f"x{i}": column(value) for i, value in enumerate(kept)}
            columns |= {f"y{i}": column(value) for i, value in enumerate(outputs)}
            onnx.save(model, out / f"{name}.onnx")
            pyarrow.parquet.write_table(pyarrow.table(columns), out / f"{name}.parquet")
            rows.writerow([name, " ".join(sorted(used)), len(kept), len(outputs)])


if __name__ == "__main__":
    main()
