"""ResNet-50 on a CUDA card with PyTorch and ONNX Runtime: python gpu.py resnet50.onnx

The counterpart of `OCELLI_BENCH_MODEL=resnet50.onnx cargo bench -p ocelli-benches --bench gpu`, on the same card: images per
second for inputs resident on the card. PyTorch runs torchvision's architecture with random weights, whose values do not affect
speed; ONNX Runtime runs the file itself, if its wheel has the CUDA provider. The first lines are the ceilings of the card: a copy,
and a large matrix product.
"""

import sys
import time
from collections.abc import Callable

import torch
from torchvision.models import resnet50

BATCHES = (1, 64, 128, 256)
SECONDS = 2.0
SIDE = 224
# Multiplications plus additions of one image: twice the 4.09 G multiply-adds of torchvision's documentation.
FLOPS = 8.18e9
# name: (dtype, whether 32-bit products may use TF32, which is PyTorch's default for convolutions)
PRECISIONS = {"f32": (torch.float32, False), "tf32": (torch.float32, True), "f16": (torch.float16, True)}


def seconds(run: Callable[[], object]) -> float:
    """The best time of a run, after warm-up runs that compile and tune."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(5):
            run()
        torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - begin) / 5)
    return best


def allow_tf32(tf32: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32


def ceilings() -> None:
    bytes_ = 1 << 30
    source, copy = torch.rand(bytes_ // 4, device="cuda"), torch.empty(bytes_ // 4, device="cuda")
    print(f"a copy moves {2 * bytes_ / seconds(lambda: copy.copy_(source)) / 1e9:.0f} GB/s (read and written)")
    for name, (dtype, may_use_tf32) in PRECISIONS.items():
        allow_tf32(may_use_tf32)
        a, b = (torch.rand(8192, 8192, device="cuda", dtype=dtype) for _ in range(2))
        print(f"a product of 8192 x 8192 in {name} is {2 * 8192**3 / seconds(lambda: a @ b) / 1e12:.0f} TFLOP/s")


def report(name: str, dtype: str, batch: int, took: float) -> None:
    print(f"{dtype:<4} batch {batch:<4} {name:<22} {batch / took:>9.0f} images/s  {FLOPS * batch / took / 1e12:>7.2f} TFLOP/s")


@torch.inference_mode()
def pytorch() -> None:
    for name, (dtype, may_use_tf32) in PRECISIONS.items():
        allow_tf32(may_use_tf32)
        model = resnet50(weights=None).eval().to("cuda", dtype).to(memory_format=torch.channels_last)
        compiled = torch.compile(model, mode="max-autotune")
        for batch in BATCHES:
            x = torch.rand(batch, 3, SIDE, SIDE, device="cuda", dtype=dtype).to(memory_format=torch.channels_last)
            report("PyTorch, eager", name, batch, seconds(lambda: model(x)))
            report("PyTorch, compiled", name, batch, seconds(lambda: compiled(x)))


def onnx_runtime(path: str) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        print("ONNX Runtime has no CUDA provider here")
        return
    session = onnxruntime.InferenceSession(path, providers=["CUDAExecutionProvider"])
    if "CUDAExecutionProvider" not in session.get_providers():
        print("ONNX Runtime's CUDA provider does not start here")
        return
    name = session.get_inputs()[0].name
    for batch in BATCHES:
        x = torch.rand(batch, 3, SIDE, SIDE, device="cuda")
        binding = session.io_binding()
        binding.bind_input(name, "cuda", 0, "float32", tuple(x.shape), x.data_ptr())
        binding.bind_output(session.get_outputs()[0].name, "cuda")
        report("ONNX Runtime, CUDA", "f32", batch, seconds(lambda: session.run_with_iobinding(binding)))


if __name__ == "__main__":
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA card here")
    print(torch.cuda.get_device_name(), f"PyTorch {torch.__version__}")
    ceilings()
    pytorch()
    onnx_runtime(sys.argv[1])
