#!/usr/bin/env python3
"""The peers of `nclip-bench embed`'s decoding: PyTorch's DataLoader with PIL, and webdataset.

Both read JPEGs, resize the shorter edge to 224 by PIL's bicubic filter, crop, scale and normalise
(PIL and numpy; torchvision's transforms do the same, and are no faster): what open_clip and
clip-retrieval do before the model. No model runs.

    python3 embed_pytorch.py --data DIR --workers 2      (DIR of nclip-bench embed --data)

Prints one JSON object; what cannot be imported is SKIPPED, with the reason.
"""
import argparse
import json
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True, help="folder with pictures/ and pictures.tar")
parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--runs", type=int, default=3)
arguments = parser.parse_args()

import numpy as np
import torch
from PIL import Image, __version__ as pil_version
from torch.utils.data import DataLoader, Dataset

torch.set_num_threads(1)
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def prepare(image):
    image = image.convert("RGB")
    width, height = image.size
    short = min(width, height)
    image = image.resize((224 * width // short, 224 * height // short), Image.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    return torch.from_numpy(((pixels - MEAN) / STD).transpose(2, 0, 1).copy())


class Folder(Dataset):
    def __init__(self, folder):
        self.paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return prepare(Image.open(self.paths[index]))


def best(make):
    """Pictures a second of the fastest run, from the first request to the last batch; and a second of
    this process's processor time, which says something where it does the work itself."""
    rate = cpu_rate = 0
    for _ in range(arguments.runs):
        loader = make()
        began, used = time.perf_counter(), time.process_time()
        pictures = sum(len(batch) for batch in loader)
        rate = max(rate, pictures / (time.perf_counter() - began))
        cpu_rate = max(cpu_rate, pictures / (time.process_time() - used))
    return rate, cpu_rate


def data_loader(workers):
    return DataLoader(Folder(os.path.join(arguments.data, "pictures")), arguments.batch,
                      num_workers=workers)


one, per_cpu_second = best(lambda: data_loader(0))
result = {"benchmark": "embed peers", "torch": torch.__version__, "pillow": pil_version,
          "workers": arguments.workers, "dataloader_one": one,
          "dataloader_per_processor_second": per_cpu_second,
          "dataloader": best(lambda: data_loader(arguments.workers))[0]}
try:
    import webdataset as wds

    def web_loader():
        tars = os.path.join(arguments.data, "pictures.tar")
        pictures = wds.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("jpg").map_tuple(prepare)
        # one tar is one worker's
        return (batch[0] for batch in wds.WebLoader(pictures.batched(arguments.batch), batch_size=None,
                                                    num_workers=1))
    result["webdataset_one"] = best(web_loader)[0]
    result["webdataset"] = wds.__version__
except ImportError as error:
    result["webdataset"] = f"SKIPPED: {error}"
# It writes webdatasets; its reader reads lists of addresses.
result["img2dataset"] = "SKIPPED: it has no reader of pictures"
print(json.dumps(result))
