#!/usr/bin/env python3
"""The peers of `nclip-bench kernels`: the same operations in PyTorch, as people run them.

scaled_dot_product_attention with each of its backends (cuDNN's and FlashAttention's among them),
layer_norm, AdamW(fused=True), and InfoNCE as open_clip computes it, over whole matrices, and in
tiles in Triton. Captions are padded to 77 tokens, the only layout these have: a row of lengths
"real" tells what a batch of real captions costs them.

    python3 kernels_pytorch.py [--device cuda] [--captions 512]       (torch, triton)

Prints one JSON object a row, with the names and units of nclip-bench kernels.
"""
import argparse
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--captions", type=int, default=512)
parser.add_argument("--repeats", type=int, default=50)
parser.add_argument("--most-pairs", type=int, default=65536)
arguments = parser.parse_args()

DEVICE, BF16 = torch.device(arguments.device), torch.bfloat16
SHAPES = {"ViT-B/32": (512, 8, 63428097), "ViT-B/16": (512, 8, 63428097), "ViT-L/14": (768, 12, 123650305)}
TOKENS = 77
torch.manual_seed(0)
on_gpu = DEVICE.type == "cuda"
flush, flushed = (torch.ones(64 << 20, device=DEVICE) for _ in range(2)) if on_gpu else (None, None)


def milliseconds(run):
    """The median, with the caches flushed before each run, by a copy as in nclip-bench."""
    times = []
    for i in range(arguments.repeats + 3):
        if on_gpu:
            torch.mul(flush, 1, out=flushed)
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        else:
            began = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - began))
        if i > 5 and sum(times) > 5000:
            break
    return statistics.median(times[min(3, len(times) - 1):])


def report(operation, shape, program, run, lengths=(None,)):
    """A row for each of the lengths, which cost the same here."""
    try:
        result = {"milliseconds": milliseconds(run)}
    except Exception as error:  # no such backend here, no memory, no such tile: of every library's own kind
        result = {"error": (str(error).splitlines() or [repr(error)])[0]}
        if on_gpu:
            torch.cuda.empty_cache()
    for length in lengths:
        print(json.dumps({"operation": operation, "shape": shape, "lengths": length, "program": program, **result}),
              flush=True)


def attention(shape, width, heads):
    size = (arguments.captions, heads, TOKENS, width // heads)
    q, k, v = (torch.randn(size, device=DEVICE, dtype=BF16, requires_grad=True) for _ in range(3))
    dout = torch.randn(size, device=DEVICE, dtype=BF16)
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION,
                    SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH):
        def forward():
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, is_causal=True)

        def both():
            torch.autograd.grad(forward(), (q, k, v), dout)

        name = f"PyTorch {torch.__version__} {backend.name.lower()}"
        report("attention_forward", shape, name, lambda: forward().detach(), ("77", "real"))
        report("attention_both", shape, name, both, ("77", "real"))


def layernorm(shape, width):
    x = torch.randn(arguments.captions * TOKENS, width, device=DEVICE, dtype=BF16, requires_grad=True)
    weight, bias = (torch.randn(width, device=DEVICE, dtype=BF16, requires_grad=True) for _ in range(2))
    dy = torch.randn_like(x)
    y = F.layer_norm(x, (width,), weight, bias)
    name = f"PyTorch {torch.__version__}, all in bf16"
    report("layernorm_forward", shape, name, lambda: F.layer_norm(x.detach(), (width,), weight.detach(), bias.detach()), ("77", "real"))
    report("layernorm_backward", shape, name,
           lambda: torch.autograd.grad(y, (x, weight, bias), dy, retain_graph=True), ("77", "real"))


def adamw(shape, parameters):
    p = torch.randn(parameters, device=DEVICE, requires_grad=True)
    p.grad = torch.randn_like(p) * 0.01
    optimizer = torch.optim.AdamW([p], lr=1e-6, weight_decay=0.01, fused=True)
    report("adamw", shape, f"PyTorch {torch.__version__} fused", optimizer.step)


def infonce(pairs):
    shape = f"B={pairs} D=768"
    text, image = (F.normalize(torch.randn(pairs, 768, device=DEVICE), dim=-1).to(BF16) for _ in range(2))
    scale, target = math.exp(4.6), torch.arange(pairs, device=DEVICE)
    leaf = text.clone().requires_grad_()

    def whole():
        scores = scale * leaf @ image.T
        loss = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
        torch.autograd.grad(loss, leaf)

    report("infonce", shape, f"PyTorch {torch.__version__}, whole matrix", whole)
    if on_gpu:
        import infonce_triton
        import triton
        report("infonce", shape, f"Triton {triton.__version__}, tiled",
               lambda: infonce_triton.infonce(text, image, scale))


for shape, (width, heads, parameters) in SHAPES.items():
    attention(shape, width, heads)
    layernorm(shape, width)
    adamw(shape, parameters)
for pairs in (512, 8192, 65536):
    if pairs <= arguments.most_pairs:
        infonce(pairs)
