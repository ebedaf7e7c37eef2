"""A DataLoader with two workers, and a loop: python pytorch.py MODEL_FOLDER PARQUET OUT_CSV

On two cores and 250 photographs, two workers are a few per cent faster than one or none.
"""

from collections.abc import Iterator

import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset

from resnet import BATCH, Resnet, measure

WORKERS = 2


class Photos(Dataset):
    def __init__(self, resnet: Resnet, jpegs: list[bytes]):
        self.resnet, self.jpegs = resnet, jpegs

    def __len__(self) -> int:
        return len(self.jpegs)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.resnet.preprocess(self.jpegs[row])


def job(resnet: Resnet, parquet: str) -> Iterator[int]:
    jpegs = pq.read_table(parquet, columns=["image"])["image"].to_pylist()
    for batch in DataLoader(Photos(resnet, jpegs), batch_size=BATCH, num_workers=WORKERS):
        yield from resnet.top1(batch)


if __name__ == "__main__":
    measure(job)
