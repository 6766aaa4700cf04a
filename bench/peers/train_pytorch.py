#!/usr/bin/env python3
"""The peer of `nclip-bench train`: the same step in PyTorch, as people run it.

open_clip's text tower with random parameters, picture embeddings already cached, open_clip's
ClipLoss, torch.optim.AdamW, gradient clipping at 1; autocast to bf16 or fp32 throughout.
Captions come as token ids from `nclip-bench train --tokens-out`, so both read the same, and
are padded to 77 tokens, which is what open_clip and transformers do. --trim pads only to the
longest caption of the batch, which no released script does, for comparison. Several batch
sizes are tried and the fastest counts: larger ones would serve PyTorch no better. On a GPU the
model is compiled (torch.compile), and batches are padded to a multiple of 8 tokens when trimmed,
so that it is compiled once for each such length.

    python3 train_pytorch.py --tokens tokens.jsonl --precision bf16      (torch, open_clip_torch)
    python3 train_pytorch.py --tokens tokens.jsonl --device cuda --batches 512 --steps 50

Prints one JSON object.
"""
import argparse
import json
import os
import resource
import time

import open_clip
import torch
import torch.nn.functional as F
from open_clip.loss import ClipLoss
from open_clip.transformer import text_global_pool

parser = argparse.ArgumentParser()
parser.add_argument("--tokens", required=True)
parser.add_argument("--shape", default="ViT-L/14")
parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
parser.add_argument("--batches", default="16,64,128", help="batch sizes to try")
parser.add_argument("--steps", type=int, default=1, help="counted steps of each batch size")
parser.add_argument("--trim", action="store_true", help="pad to the longest caption of a batch only")
parser.add_argument("--device", default="cpu")
parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
arguments = parser.parse_args()

torch.manual_seed(0)
torch.set_num_threads(arguments.threads)
captions = [json.loads(line) for line in open(arguments.tokens)]
model = open_clip.create_model(arguments.shape.replace("/", "-").replace("@", "-"), pretrained=None)
model.visual = None  # frozen and cached: it never runs
model.train()
device, on_gpu = torch.device(arguments.device), arguments.device != "cpu"
model.to(device)
width = model.text_projection.shape[1]
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.01, fused=True)
loss_of = ClipLoss()


@torch.compile(disable=not on_gpu, dynamic=False)
def encode(tokens):
    """CLIP.encode_text of open_clip, for any number of tokens."""
    length = tokens.shape[1]
    cast = model.transformer.get_cast_dtype()
    x = model.token_embedding(tokens).to(cast) + model.positional_embedding[:length].to(cast)
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = text_global_pool(x, tokens, model.text_pool_type, eos_token_id=getattr(model, "text_eos_id", None))
    return F.normalize(x @ model.text_projection, dim=-1)


def padded(batch):
    length = max(map(len, batch)) if arguments.trim else model.context_length
    if on_gpu:
        length = min(-(-length // 8) * 8, model.context_length)
    tokens = torch.zeros(len(batch), length, dtype=torch.long)
    for row, ids in enumerate(batch):
        tokens[row, :len(ids)] = torch.tensor(ids)
    return tokens


def step(batch, pictures):
    tokens = padded(batch).to(device, non_blocking=True)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=arguments.precision == "bf16"):
        text = encode(tokens)
        loss = loss_of(pictures.to(text.dtype), text, model.logit_scale.exp())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss


def wait():
    if on_gpu:
        torch.cuda.synchronize()


tried = []
for size in map(int, arguments.batches.split(",")):
    if size * 2 > len(captions):
        continue
    pictures = F.normalize(torch.randn(size, width), dim=-1).to(device)
    for i in range(arguments.steps + 1 if on_gpu else 1):  # compiling, allocations, oneDNN's programs
        first = i * size % (len(captions) - size + 1)
        step(captions[first:first + size], pictures)
    wait()
    began = time.perf_counter()
    for i in range(1, arguments.steps + 1):
        first = i * size % (len(captions) - size + 1)
        step(captions[first:first + size], pictures)
    wait()
    seconds = time.perf_counter() - began
    tried.append({"batch": size, "captions_per_second": size * arguments.steps / seconds})

best = max(tried, key=lambda t: t["captions_per_second"])
print(json.dumps({
    "benchmark": "train", "program": f"PyTorch {torch.__version__}, open_clip {open_clip.__version__}",
    "device": torch.cuda.get_device_name() if on_gpu else "cpu", "shape": arguments.shape, "precision": arguments.precision,
    "padding": "longest of the batch" if arguments.trim else "77 tokens", **best, "tried": tried,
    "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else
                  resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
