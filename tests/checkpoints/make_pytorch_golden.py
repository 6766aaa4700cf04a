"""Makes tests/checkpoints/pytorch/: what torch.save() and torch.jit.save() write, in small, and
expected.json with what PyTorch reads from it (name, type, shape, and the bytes in hex). Also models
of this folder that have safetensors as PyTorch's files: hf/pytorch_model.bin of golden_model/fp16,
hf-sharded/ of golden_model/sharded-bf16, quick_gelu.pt of open_clip/quick_gelu, as open_clip's
training writes it.

    python3 tests/checkpoints/make_pytorch_golden.py        (torch 1.6 or newer, safetensors)
"""
import argparse
import collections
import json
import os

import torch
from safetensors.torch import load_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch")
TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64",
         torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
         torch.uint8: "U8", torch.bool: "BOOL"}


def describe(tensors):
    return {name: {"type": TYPES[t.dtype], "shape": list(t.shape),
                   "bytes": t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex()
                   if t.numel() else ""} for name, t in tensors.items()}


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = torch.nn.LayerNorm(3)
        self.mlp = torch.nn.Sequential(collections.OrderedDict(
            [("c_fc", torch.nn.Linear(3, 4)), ("c_proj", torch.nn.Linear(4, 3))]))

    def forward(self, x):
        return x + self.mlp(self.ln_1(x))


class Tower(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.resblocks = torch.nn.Sequential(Block(), Block())
        self.logit_scale = torch.nn.Parameter(torch.ones([]) * 2.5)
        self.register_buffer("context_length", torch.tensor(77))

    def forward(self, x):
        return self.resblocks(x) * self.logit_scale


def models():
    here = os.path.dirname(HERE)
    for folder in ("hf", "hf-sharded"):
        os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    torch.save(load_file(os.path.join(here, "golden_model/fp16/model.safetensors")),
               os.path.join(HERE, "hf/pytorch_model.bin"))
    with open(os.path.join(here, "golden_model/sharded-bf16/model.safetensors.index.json")) as file:
        index = json.load(file)
    names = {name: name.replace("model-", "pytorch_model-").replace(".safetensors", ".bin")
             for name in set(index["weight_map"].values())}
    for name, new in names.items():
        torch.save(load_file(os.path.join(here, "golden_model/sharded-bf16", name)),
                   os.path.join(HERE, "hf-sharded", new))
    index["weight_map"] = {key: names[name] for key, name in index["weight_map"].items()}
    with open(os.path.join(HERE, "hf-sharded/pytorch_model.bin.index.json"), "w") as file:
        json.dump(index, file)
    weights = load_file(os.path.join(here, "open_clip/quick_gelu/open_clip_model.safetensors"))
    torch.save({"epoch": 2, "name": "run", "state_dict": {"module." + k: v for k, v in weights.items()},
                "optimizer": {"state": {}, "param_groups": []}}, os.path.join(HERE, "quick_gelu.pt"))


def main():
    torch.manual_seed(1)
    os.makedirs(HERE, exist_ok=True)
    expected = {}

    def save(name, value, tensors, **options):
        torch.save(value, os.path.join(HERE, name), **options)
        expected[name] = describe(tensors)

    base = torch.randn(4, 6)
    kinds = collections.OrderedDict()
    for dtype, name in TYPES.items():
        kinds["kind." + name] = (torch.arange(5) % 2 == 0 if dtype == torch.bool else
                                 torch.arange(-2, 3).to(dtype) if dtype != torch.uint8 else
                                 torch.arange(5).to(dtype))
    kinds["scalar"] = torch.tensor(4.6)
    kinds["empty"] = torch.zeros(0, 3)
    kinds["naïve"] = torch.ones(2)
    save("kinds.pt", kinds, kinds)
    for protocol in (3, 4, 5):
        save("protocol%d.pt" % protocol, kinds, kinds, pickle_protocol=protocol)

    views = {"whole": base, "row": base[2], "columns": base[:, 1:3], "transposed": base.t(),
             "parameter": torch.nn.Parameter(base[1:3].t()), "every": base[::2, ::3],
             "tied": base, "one": base[1:2, :].t()}
    save("views.pt", views, views)
    save("expanded.pt", {"expanded": torch.ones(1).expand(1000)}, {})

    weights = {"weight": torch.randn(3, 2), "bias": torch.randn(3)}
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3, 2)}},
                 "param_groups": [{"lr": 1e-6, "betas": (0.9, 0.98), "amsgrad": False,
                                   "maximize": None, "params": [0, 1]}]}
    save("training.pt", {"epoch": 3, "name": "run", "loss": 0.25, "optimizer": optimizer,
                         "state_dict": {"module." + k: v for k, v in weights.items()}}, weights)
    save("compiled.pt", {"model": {"_orig_mod." + k: v for k, v in weights.items()}}, weights)
    save("namespace.pt", {"state_dict": weights, "args": argparse.Namespace(lr=1)}, {})
    save("old.pt", weights, {}, _use_new_zipfile_serialization=False)
    save("nothing.pt", {"epoch": 3}, {})

    tower = Tower().eval()
    torch.jit.script(tower).save(os.path.join(HERE, "script.pt"))
    expected["script.pt"] = describe(tower.state_dict())
    shards = {"a.bin": {"weight": weights["weight"]}, "b.bin": {"bias": weights["bias"]}}
    for name, shard in shards.items():
        torch.save(shard, os.path.join(HERE, name))
    with open(os.path.join(HERE, "shards.bin.index.json"), "w") as out:
        json.dump({"metadata": {}, "weight_map": {"weight": "a.bin", "bias": "b.bin"}}, out)
    expected["shards.bin.index.json"] = describe(weights)
    models()
    with open(os.path.join(HERE, "expected.json"), "w") as out:
        json.dump(expected, out, indent=0, ensure_ascii=False)
        out.write("\n")


main()
