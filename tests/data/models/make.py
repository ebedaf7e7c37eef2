"""Writes tiny models and the outputs that ONNX Runtime computes from them: python3 tests/data/models/make.py

    --whole FOLDER    ResNet-18 and -50 with seeded weights instead, which are too large for the repository

The committed files were written with onnx 1.23.2 and onnxruntime 1.31.1, the last three with 1.32.0. NAME.onnx is a graph with seeded weights; element i of each
input, for two rows, is ((i * 37) % 101) / 101 - 0.5, and of integer inputs (i * 37) % 101. NAME.expected has one line per output: its
name and its elements.
"""

import argparse
from pathlib import Path

import numpy
import onnxruntime
from onnx import TensorProto, checker, external_data_helper, helper, numpy_helper, save

HERE = Path(__file__).parent
F32 = TensorProto.FLOAT
TYPES = {"float": "f", "float16": "e", "double": "d", "int64": "q", "uint8": "B", "bool": "?"}


class Graph:
    """Nodes in the order in which they are added; each method returns the name of the output."""

    def __init__(self, seed):
        self.random = numpy.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def weight(self, *shape, scale=None, dtype=numpy.float32):
        scale = scale or (2 / max(1, numpy.prod(shape[1:]))) ** 0.5
        return self.constant((self.random.standard_normal(shape) * scale).astype(dtype))

    def constant(self, values):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(numpy.asarray(values), name))
        return name

    def add(self, op, *inputs, outputs=1, domain=None, **attributes):
        names = [f"t{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x, ins, outs, kernel=3, group=1, **attributes):
        attributes.setdefault("pads", [kernel // 2] * 4)
        weights = self.weight(outs, ins // group, kernel, kernel)
        return self.add("Conv", x, weights, self.weight(outs, scale=0.1), group=group, **attributes)

    def norm(self, x, channels):
        positive = numpy.abs(self.random.standard_normal(channels)).astype(numpy.float32) + 0.5
        scale, shift, mean = (self.weight(channels, scale=0.5) for _ in range(3))
        return self.add("BatchNormalization", x, scale, shift, mean, self.constant(positive))

    def head(self, x, features, classes=3):
        x = self.add("Flatten", self.add("GlobalAveragePool", x))
        return self.add("Gemm", x, self.weight(classes, features), self.weight(classes, scale=0.1), transB=1)

    def layer_norm(self, x, width):
        return self.add("LayerNormalization", x, self.weight(width, scale=0.5), self.weight(width, scale=0.1), axis=-1)

    def gelu(self, x):
        root = self.add("Div", x, self.constant(numpy.float32(2**0.5)))
        one = self.add("Add", self.add("Erf", root), self.constant(numpy.float32(1)))
        return self.add("Mul", self.add("Mul", x, one), self.constant(numpy.float32(0.5)))


def resnet(g, x):
    x = g.add("Relu", g.norm(g.conv(x, 3, 8, 5, strides=[2, 2]), 8))
    x = g.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = g.norm(g.conv(g.add("Relu", g.norm(g.conv(x, 8, 8), 8)), 8, 8), 8)
    x = g.add("Relu", g.add("Add", x, y))
    y = g.norm(g.conv(x, 8, 12, strides=[2, 2]), 12)
    x = g.add("Relu", g.add("Add", y, g.norm(g.conv(x, 8, 12, 1, strides=[2, 2]), 12)))
    return g.head(x, 12)


def mobilenet(g, x):
    six = [g.constant(numpy.float32(0)), g.constant(numpy.float32(6))]
    x = g.add("Clip", g.conv(x, 3, 8, strides=[2, 2]), *six)
    x = g.add("HardSwish", g.conv(x, 8, 8, group=8))
    squeezed = g.add("ReduceMean", x, axes=[2, 3], keepdims=1)
    squeezed = g.add("HardSigmoid", g.conv(g.add("Relu", g.conv(squeezed, 8, 4, 1)), 4, 8, 1), alpha=1 / 6)
    return g.head(g.conv(g.add("Mul", x, squeezed), 8, 8, 1), 8)


def efficientnet(g, x):
    silu = lambda x: g.add("Mul", x, g.add("Sigmoid", x))
    x = silu(g.conv(x, 3, 8, strides=[2, 2]))
    y = silu(g.conv(x, 8, 16, 1))
    y = silu(g.conv(y, 16, 16, 5, group=16))
    squeezed = g.conv(silu(g.conv(g.add("GlobalAveragePool", y), 16, 4, 1)), 4, 16, 1)
    y = g.conv(g.add("Mul", y, g.add("Sigmoid", squeezed)), 16, 8, 1)
    return g.head(g.add("Add", x, y), 8)


def convnext(g, x):
    x = g.conv(x, 3, 8, 4, strides=[4, 4], pads=[0, 0, 0, 0])
    y = g.add("Transpose", g.conv(x, 8, 8, 7, group=8), perm=[0, 2, 3, 1])
    y = g.layer_norm(y, 8)
    y = g.gelu(g.add("Add", g.add("MatMul", y, g.weight(8, 16)), g.weight(16, scale=0.1)))
    y = g.add("Add", g.add("MatMul", y, g.weight(16, 8)), g.weight(8, scale=0.1))
    y = g.add("Mul", y, g.weight(8, scale=0.5))
    x = g.add("Add", x, g.add("Transpose", y, perm=[0, 3, 1, 2]))
    x = g.layer_norm(g.add("ReduceMean", x, axes=[2, 3], keepdims=0), 8)
    return g.add("Add", g.add("MatMul", x, g.weight(8, 3)), g.weight(3, scale=0.1))


def vit(g, x):
    width, heads = 8, 2
    i64 = lambda *values: g.constant(numpy.array(values, dtype=numpy.int64))
    x = g.conv(x, 3, width, 8, strides=[8, 8], pads=[0, 0, 0, 0])
    x = g.add("Transpose", g.add("Reshape", x, i64(0, width, -1)), perm=[0, 2, 1])
    batch = g.add("Gather", g.add("Shape", x), i64(0), axis=0)
    token = g.add("Expand", g.weight(1, 1, width), g.add("Concat", batch, i64(1), i64(width), axis=0))
    x = g.add("Add", g.add("Concat", token, x, axis=1), g.weight(1, 17, width, scale=0.2))
    y = g.layer_norm(x, width)
    parts = g.add("Split", g.add("MatMul", y, g.weight(width, 3 * width)), i64(width, width, width), outputs=3, axis=-1)
    query, key, value = (g.add("Reshape", part, i64(0, 17, heads, width // heads)) for part in parts)
    query, value = (g.add("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
    scores = g.add("MatMul", query, g.add("Transpose", key, perm=[0, 2, 3, 1]))
    weights = g.add("Softmax", g.add("Mul", scores, g.constant(numpy.float32(0.5))), axis=-1)
    y = g.add("Transpose", g.add("MatMul", weights, value), perm=[0, 2, 1, 3])
    x = g.add("Add", x, g.add("MatMul", g.add("Reshape", y, i64(0, 17, width)), g.weight(width, width)))
    y = g.gelu(g.add("MatMul", g.layer_norm(x, width), g.weight(width, 16)))
    x = g.layer_norm(g.add("Add", x, g.add("MatMul", y, g.weight(16, width))), width)
    first = g.add("Gather", x, g.constant(numpy.int64(0)), axis=1)
    return g.add("Gemm", first, g.weight(3, width), g.weight(3, scale=0.1), transB=1)


def densenet(g, x):
    x = g.conv(x, 3, 8, strides=[2, 2])
    x = g.add("Concat", x, g.conv(g.add("Relu", g.norm(x, 8)), 8, 4), axis=1)
    x = g.add("AveragePool", g.conv(x, 12, 6, 1), kernel_shape=[2, 2], strides=[2, 2])
    return g.head(x, 6)


def squeezenet(g, x):
    x = g.add("Relu", g.conv(x, 3, 6, strides=[2, 2]))
    x = g.add("Concat", g.add("Relu", g.conv(x, 6, 4, 1)), g.add("Relu", g.conv(x, 6, 4, 3)), axis=1)
    x = g.add("GlobalAveragePool", g.add("Dropout", g.conv(x, 8, 3, 1)))
    return g.add("Softmax", g.add("Flatten", x), axis=1)


def small(g, x, dtype=numpy.float32):
    """A minimal classifier."""
    x = g.add("Conv", x, g.weight(4, 3, 5, 5, dtype=dtype), strides=[5, 5])
    x = g.add("Flatten", g.add("GlobalAveragePool", g.add("Relu", x)))
    return g.add("Gemm", x, g.weight(3, 4, dtype=dtype), g.weight(3, scale=0.1, dtype=dtype), transB=1)


def colors(classes, activation=None):
    """A classifier of the mean color."""

    def function(g, x):
        x = g.head(x, 3, classes)
        return g.add(activation, x) if activation else x

    return function


def nhwc_bytes(g, x):
    x = g.add("Transpose", g.add("Cast", x, to=F32), perm=[0, 3, 1, 2])
    return small(g, g.add("Mul", x, g.constant(numpy.float32(1 / 255))))


def half(g, x):
    return small(g, x, numpy.float16)


def table(g, a, b):
    """Two numeric columns; the outputs are a score and the class derived from it."""
    x = g.add("Concat", a, b, axis=1)
    x = g.add("Sigmoid", g.add("Gemm", x, g.weight(2, 1), g.weight(1, scale=0.1)))
    return x, g.add("Cast", g.add("Greater", x, g.constant(numpy.float32(0.5))), to=TensorProto.INT64)


def features(g, x):
    """One input of three features; the output is probabilities."""
    return g.add("Softmax", g.add("MatMul", x, g.weight(3, 4)), axis=-1)


def ties(g, x):
    """Zeros and equal values: `Sign(0)` is 0, and `ArgMax` is the first index."""
    x = g.add("Relu", x)
    return g.add("Sign", x), g.add("ArgMax", x, axis=1, keepdims=0)


def cubic(g, x):
    return g.add("Resize", x, "", g.constant(numpy.array([1, 1, 2, 2], dtype=numpy.float32)), mode="cubic")


def classes(g, x):
    """A label and scores per label, as skl2onnx writes classifiers."""
    scores = g.add("Softmax", g.add("MatMul", x, g.weight(2, 3)), axis=-1)
    zipped = g.add("ZipMap", scores, domain="ai.onnx.ml", classlabels_int64s=[3, 5, 9])
    return g.add("ArgMax", scores, axis=1, keepdims=0), zipped


def value_info(name, element_type, shape):
    """`shape` is that of a tensor, or "maps": a sequence of maps from integers."""
    if shape != "maps":
        return helper.make_tensor_value_info(name, element_type, shape)
    scores = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(element_type, ()))
    return helper.make_value_info(name, helper.make_sequence_type_proto(scores))


def full_size_resnet(blocks, is_deep):
    """ResNet as in torchvision, of basic blocks or bottlenecks."""

    def function(g, x):
        def unit(x, ins, outs, kernel, **attributes):
            # Small weights keep the magnitude of activations similar in all layers.
            return g.norm(g.conv(x, ins, outs, kernel, **attributes), outs)

        x = g.add("Relu", unit(x, 3, 64, 7, strides=[2, 2]))
        x = g.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        channels = 64
        for stage, count in enumerate(blocks):
            width = 64 << stage
            outs = width * 4 if is_deep else width
            for block in range(count):
                strides = [2, 2] if stage > 0 and block == 0 else [1, 1]
                if is_deep:
                    y = g.add("Relu", unit(x, channels, width, 1))
                    y = g.add("Relu", unit(y, width, width, 3, strides=strides))
                    y = unit(y, width, outs, 1)
                else:
                    y = unit(g.add("Relu", unit(x, channels, width, 3, strides=strides)), width, outs, 3)
                same = strides == [1, 1] and channels == outs
                x = g.add("Relu", g.add("Add", y, x if same else unit(x, channels, outs, 1, strides=strides)))
                channels = outs
        return g.head(x, channels, 1000)

    return function


IMAGE = ["pixels", F32, ["batch", 3, 32, 32]]
LOGITS = ["logits", F32, ["batch", 3]]
# name: (function, inputs, outputs, opset)
MODELS = {
    "resnet": (resnet, [IMAGE], [LOGITS], 17),
    "mobilenet": (mobilenet, [IMAGE], [LOGITS], 17),
    "efficientnet": (efficientnet, [IMAGE], [LOGITS], 17),
    "convnext": (convnext, [IMAGE], [LOGITS], 17),
    "vit": (vit, [IMAGE], [LOGITS], 17),
    "densenet": (densenet, [IMAGE], [LOGITS], 9),
    "squeezenet": (squeezenet, [IMAGE], [["scores", F32, ["batch", 3]]], 9),
    "newest": (small, [IMAGE], [LOGITS], 26),
    "fixed": (small, [["pixels", F32, [1, 3, 32, 32]]], [["logits", F32, [1, 3]]], 17),
    "fixed-four": (small, [["pixels", F32, [4, 3, 32, 32]]], [["logits", F32, [4, 3]]], 17),
    "any-size": (small, [["pixels", F32, ["batch", 3, "height", "width"]]], [LOGITS], 17),
    "nhwc-bytes": (nhwc_bytes, [["pixels", TensorProto.UINT8, ["batch", 32, 32, 3]]], [LOGITS], 17),
    "half": (half, [["pixels", TensorProto.FLOAT16, ["batch", 3, 32, 32]]], [["logits", TensorProto.FLOAT16, ["batch", 3]]], 17),
    "external": (small, [IMAGE], [LOGITS], 17),
    "table": (
        table,
        [["a", F32, ["rows", 1]], ["b", F32, ["rows", 1]]],
        [["score", F32, ["rows", 1]], ["class", TensorProto.INT64, ["rows", 1]]],
        17,
    ),
    "features": (features, [["x", F32, ["rows", 3]]], [["probabilities", F32, ["rows", 4]]], 17),
    # A model without a classification head.
    "maps": (lambda g, x: g.conv(x, 3, 4, 5, strides=[8, 8]), [IMAGE], [["maps", F32, ["batch", 4, 4, 4]]], 17),
    # An operator that no backend supports.
    "unknown": (lambda g, x: g.add("Sparkle", small(g, x), domain="example.com"), [IMAGE], [LOGITS], 17),
    "ties": (
        ties,
        [["x", F32, ["rows", 4]]],
        [["sign", F32, ["rows", 4]], ["first", TensorProto.INT64, ["rows"]]],
        17,
    ),
    "cubic": (cubic, [["x", F32, ["rows", 1, 2, 2]]], [["y", F32, ["rows", 1, 4, 4]]], 17),
    "classes": (
        classes,
        [["x", F32, ["rows", 2]]],
        [["index", TensorProto.INT64, ["rows"]], ["scores", F32, "maps"]],
        17,
    ),
    # A scalar has no rows.
    "mean": (lambda g, x: g.add("ReduceMean", x, keepdims=0), [["x", F32, ["rows", 2]]], [["y", F32, []]], 17),
    # The scores of labels that do not exclude each other: in the graph, by `problem_type` in config.json, and of one label.
    "sigmoid": (colors(3, "Sigmoid"), [IMAGE], [["scores", F32, ["batch", 3]]], 17),
    "multi-label": (colors(3), [IMAGE], [LOGITS], 17),
    "one-logit": (colors(1), [IMAGE], [["logits", F32, ["batch", 1]]], 17),
}

LARGE = ([["pixels", F32, ["batch", 3, 224, 224]]], [["logits", F32, ["batch", 1000]]], 17)
FULL_SIZE = {
    "resnet18": (full_size_resnet([2, 2, 2, 2], is_deep=False), *LARGE),
    "resnet50": (full_size_resnet([3, 4, 6, 3], is_deep=True), *LARGE),
}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--whole", type=Path)
    folder = parser.parse_args().whole
    write(FULL_SIZE if folder else MODELS, folder or HERE)


def write(models, out):
    out.mkdir(parents=True, exist_ok=True)
    for seed, (name, (function, inputs, outputs, opset)) in enumerate(models.items()):
        graph = Graph(seed)
        results = function(graph, *[name for name, *_ in inputs])
        results = [results] if isinstance(results, str) else results
        renamed = {result: output[0] for result, output in zip(results, outputs)}
        for node in graph.nodes:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
        infos = [[value_info(*info) for info in infos] for infos in (inputs, outputs)]
        # The IR version is at most 11, even if the newest opset was released with a later one.
        proto = helper.make_graph(graph.nodes, name, *infos, graph.weights)
        versions = {"example.com": 1, "ai.onnx.ml": 3}
        sets = [helper.make_opsetid("", opset)]
        sets += [helper.make_opsetid(node.domain, versions[node.domain]) for node in graph.nodes if node.domain]
        model = helper.make_model(proto, opset_imports=sets, ir_version=min(11, helper.find_min_ir_version_for(sets[:1])))
        path = out / f"{name}.onnx"
        if name == "external":
            # The layout of the Hugging Face hub: graph and weights in a subfolder of the folder with the configuration.
            folder = out / name / "onnx"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "model.onnx"
            (folder / "model.onnx.data").unlink(missing_ok=True)
            external_data_helper.convert_model_to_external_data(model, location="model.onnx.data", size_threshold=0)
        if name == "multi-label":
            path = out / name / "model.onnx"
            path.parent.mkdir(exist_ok=True)
        save(model, path)
        if name != "unknown":
            checker.check_model(str(path))
        # ONNX Runtime does not support `unknown`, and only predict.slt runs the others.
        if name not in ("unknown", "any-size", "ties", "cubic", "classes", "mean"):
            write_expected(out / f"{name}.expected", path)


def write_expected(file, path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {}
    for info in session.get_inputs():
        shape = [32 if dim in ("height", "width") else 2 if isinstance(dim, str) else dim for dim in info.shape]
        numbers = numpy.arange(numpy.prod(shape)) * 37 % 101
        dtype = TYPES[info.type[len("tensor(") : -1]]
        feeds[info.name] = (numbers if dtype in "qB" else numbers / 101 - 0.5).astype(dtype).reshape(shape)
    outputs = zip(session.get_outputs(), session.run(None, feeds))
    lines = [f"{info.name} {' '.join(str(number) for number in values.flatten())}\n" for info, values in outputs]
    file.write_text("".join(lines))


if __name__ == "__main__":
    main()
