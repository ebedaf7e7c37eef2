"""The same loop with the model in the layout that torch is faster with: python pytorch_channels_last.py MODEL_FOLDER PARQUET OUT_CSV"""

import torch

from pytorch import job
from resnet import measure

if __name__ == "__main__":
    measure(job, torch.channels_last)
