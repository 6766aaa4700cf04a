#!/usr/bin/env python3
"""The peers of `nclip-bench embed`: PyTorch's DataLoader with PIL, webdataset, and CLIP's vision tower.

Decoding: JPEGs are read, resized to 224 at the shorter edge by PIL's bicubic filter, cropped, scaled and
normalised (PIL and numpy; torchvision's transforms do the same, and are no faster): what open_clip and
clip-retrieval do before the model. With --shape the tower follows, with random parameters: open_clip's
(transformers' where there is no open_clip), in --precision, on a GPU compiled (torch.compile) and with
pictures from page-locked memory. "device_alone" has pictures that are ready in the host's memory,
"both" is the DataLoader with all workers and the tower behind it.

    python3 embed_pytorch.py --data DIR --workers 2      (DIR of nclip-bench embed --data; torch, pillow)
    python3 embed_pytorch.py --data DIR --device cuda --precision bf16 --shape ViT-L/14 --batch 256

Prints one JSON object; what cannot be imported is SKIPPED, with the reason.
"""
import argparse
import json
import os
import time

SHAPES = {"ViT-B/32": (768, 12, 32, 512), "ViT-B/16": (768, 12, 16, 512), "ViT-L/14": (1024, 24, 14, 768),
          "tiny": (64, 2, 32, 64)}  # width, blocks, patch, embedding
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True, help="folder with pictures/ and pictures.tar")
parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--shape", choices=SHAPES, help="the vision tower; none: decoding alone")
parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
parser.add_argument("--device", default="cpu")
parser.add_argument("--library", choices=("open_clip", "transformers"), help="whose tower (default: what is there)")
parser.add_argument("--parts", default="decode,tower,both", help="of these three, those to time")
arguments = parser.parse_args()
PARTS = arguments.parts.split(",")

import numpy as np
import torch
from PIL import Image, __version__ as pil_version
from torch.utils.data import DataLoader, Dataset

on_gpu = arguments.device != "cpu"
torch.manual_seed(0)
torch.set_num_threads(1 if on_gpu or not arguments.shape else arguments.workers)
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


def data_loader(workers, whole=False):
    """whole: no batch but whole ones, for which a tower was compiled."""
    return DataLoader(Folder(os.path.join(arguments.data, "pictures")), arguments.batch,
                      num_workers=workers, pin_memory=on_gpu and whole, drop_last=whole)


# ---- The tower --------------------------------------------------------------------------------


def of_open_clip(width, layers, patch, embedding):
    from open_clip import CLIPVisionCfg, __version__
    from open_clip.model import _build_vision_tower
    return f"open_clip {__version__}", _build_vision_tower(
        embedding, CLIPVisionCfg(layers=layers, width=width, head_width=64, patch_size=patch, image_size=224),
        quick_gelu=True)


def of_transformers(width, layers, patch, embedding):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, __version__
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=width // 64,
        patch_size=patch, image_size=224, projection_dim=embedding, hidden_act="quick_gelu",
        attn_implementation="sdpa"))
    return f"transformers {__version__}", model


def make_tower():
    """The library's name, and what makes features of a batch in the host's memory."""
    shape = SHAPES[arguments.shape]
    try:
        library, model = (of_transformers if arguments.library == "transformers" else of_open_clip)(*shape)
    except ImportError:
        if arguments.library:
            raise
        library, model = of_transformers(*shape)
    dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    model = model.eval().to(arguments.device, dtype)

    @torch.compile(disable=not on_gpu, dynamic=False)
    def features(pixels):
        out = model(pixels)
        return torch.nn.functional.normalize(getattr(out, "image_embeds", out), dim=-1)

    def encode(batch):
        with torch.inference_mode():
            return features(batch.to(arguments.device, non_blocking=True).to(dtype)).float()

    return library, encode


def rate_of(encode, batches):
    """Pictures a second, until the last feature is back in the host's memory."""
    began, pictures, last = time.perf_counter(), 0, None
    for batch in batches:
        last, pictures = encode(batch), pictures + len(batch)
    if last is not None:
        last.cpu()
    return pictures / (time.perf_counter() - began)


result = {"benchmark": "embed peers", "torch": torch.__version__, "pillow": pil_version,
          "workers": arguments.workers}
if "decode" in PARTS:
    one, per_cpu_second = best(lambda: data_loader(0))
    result |= {"dataloader_one": one, "dataloader_per_processor_second": per_cpu_second,
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
if arguments.shape:
    library, encode = make_tower()
    device = torch.cuda.get_device_name() if on_gpu else "cpu"
    result |= {"program": f"PyTorch {torch.__version__}, {library}", "device": device, "shape": arguments.shape,
               "precision": arguments.precision, "batch": arguments.batch, "compiled": on_gpu}
    pictures = len(os.listdir(os.path.join(arguments.data, "pictures")))
    ready = torch.rand(arguments.batch, 3, 224, 224) * 4 - 2
    ready = ready.pin_memory() if on_gpu else ready
    batches = [ready] * max(1, pictures // arguments.batch)
    rate_of(encode, batches[:3])  # compiling
    if "tower" in PARTS:
        result["device_alone"] = max(rate_of(encode, batches) for _ in range(arguments.runs))
    if "both" in PARTS and pictures >= arguments.batch:
        result["both"] = max(rate_of(encode, data_loader(arguments.workers, True)) for _ in range(arguments.runs))
print(json.dumps(result))
