"""pytorch.py with the model in channels-last layout, in which torch is faster: python pytorch_channels_last.py MODEL_FOLDER PARQUET OUT_CSV"""

import torch

from pytorch import job
from resnet import measure

if __name__ == "__main__":
    measure(job, torch.channels_last)
