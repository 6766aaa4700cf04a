#!/usr/bin/env python3
"""Writes a state dict of ViT-L/14's size by OpenAI's names, with random weights, as torch.save() does: the
file that bench/import.sh imports. 427.6 million parameters in fp32 are 1.71 GB.

    python3 bench/import_model.py FILE [--small]       (torch)
"""
import sys

import torch


def tower(state, prefix, width, layers):
    for i in range(layers):
        block = f"{prefix}transformer.resblocks.{i}."
        state[block + "attn.in_proj_weight"] = (3 * width, width)
        state[block + "attn.in_proj_bias"] = (3 * width,)
        state[block + "attn.out_proj.weight"] = (width, width)
        state[block + "attn.out_proj.bias"] = (width,)
        state[block + "mlp.c_fc.weight"] = (4 * width, width)
        state[block + "mlp.c_fc.bias"] = (4 * width,)
        state[block + "mlp.c_proj.weight"] = (width, 4 * width)
        state[block + "mlp.c_proj.bias"] = (width,)
        for norm in ("ln_1", "ln_2"):
            state[f"{block}{norm}.weight"] = (width,)
            state[f"{block}{norm}.bias"] = (width,)


def main():
    small = "--small" in sys.argv
    vision, text, layers, embedding = (128, 64, 2, 64) if small else (1024, 768, None, 768)
    shapes = {"positional_embedding": (77, text), "text_projection": (text, embedding), "logit_scale": (),
              "visual.class_embedding": (vision,), "visual.positional_embedding": (257, vision),
              "visual.proj": (vision, embedding), "visual.conv1.weight": (vision, 3, 14, 14),
              "token_embedding.weight": (49408, text)}
    for name, width in (("visual.ln_pre", vision), ("visual.ln_post", vision), ("ln_final", text)):
        shapes[name + ".weight"] = shapes[name + ".bias"] = (width,)
    tower(shapes, "visual.", vision, layers or 24)
    tower(shapes, "", text, layers or 12)
    torch.manual_seed(1)
    state = {name: 0.02 * torch.randn(shape) for name, shape in shapes.items()}
    for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        state[name] = torch.tensor(value)
    torch.save(state, sys.argv[1])
    print(sum(value.numel() for value in state.values()), "parameters")


main()
