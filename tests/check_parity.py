#!/usr/bin/env python3
"""Checks the built program against PyTorch and transformers, live, on a random CLIP of the
ViT-B/32 shape: features of texts and pictures, every gradient of a step, and the loss over
100 steps of both recipes.

    python3 tests/check_parity.py [build/nclip]        (torch, transformers, pillow, safetensors)

All of it goes through the command line. All captions are one batch, so that an epoch is a step
and their order does not matter; gradients are AdamW's first moments after one step, divided by
1 - beta1. Prints a table and fails where a difference is larger than allowed.
"""
import json
import math
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parent
NCLIP = sys.argv[1] if len(sys.argv) > 1 else str(HERE.parent / "build" / "nclip")
SMALL = HERE.parent / "configs" / "quickstart" / "model"  # lends its tokenizer
PICTURES, CAPTIONS, STEPS = 20, 28, 100  # eight pictures have two captions
FAILED = []


def nclip(*arguments):
    done = subprocess.run([NCLIP, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"nclip {arguments[0]}: {done.stderr.strip()}")


def check(what, value, allowed):
    if not value <= allowed:
        FAILED.append(what)
    print(f"{what:<52} {value:9.2e}   allowed {allowed:.0e}   {'ok' if value <= allowed else 'FAILED'}", flush=True)


def make_model(folder):
    torch.manual_seed(1)
    config = CLIPConfig(
        text_config=dict(hidden_size=512, intermediate_size=2048, num_hidden_layers=12,
                         num_attention_heads=8, vocab_size=49408, bos_token_id=774,
                         eos_token_id=775, pad_token_id=775),
        vision_config=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                           num_attention_heads=12, image_size=224, patch_size=32),
        projection_dim=512)
    model = CLIPModel(config).eval()
    model.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(SMALL / name, folder / name)
    CLIPImageProcessor().save_pretrained(folder)
    return model


def make_data(folder):
    choose = random.Random(2)
    words = "a photo of the no not without red small circle street with cars and any dog is in front".split()
    captions = [" ".join(choose.choices(words, k=choose.randint(2, 16))) for _ in range(CAPTIONS)]
    (folder / "pictures").mkdir()
    numbers = np.random.default_rng(3)
    for i in range(PICTURES):
        coarse = numbers.integers(0, 256, (7, 9, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((300, 240), Image.BICUBIC).save(folder / "pictures" / f"{i:02}.png")
    (folder / "texts.txt").write_text("\n".join(captions) + "\n")
    pictures = [i % PICTURES for i in range(CAPTIONS)]
    with open(folder / "captions.jsonl", "w") as file:
        for caption, picture in zip(captions, pictures):
            file.write(json.dumps({"image": f"{picture:02}.png", "caption": caption}) + "\n")
    return captions, pictures


def distance(a, b):
    """The largest 1 - cosine of two rows."""
    a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    return float((1 - F.cosine_similarity(a, b)).max())


def features(output):
    return output if torch.is_tensor(output) else output.pooler_output


class Peer:
    """One training run in PyTorch, captions padded to 77."""

    def __init__(self, folder, tokens, image, pictures, recipe, dtype=torch.float32):
        self.model = CLIPModel.from_pretrained(folder).to(dtype).eval()
        self.tokens, self.image, self.recipe = tokens, image.to(dtype), recipe
        same = torch.tensor(pictures)[:, None] == torch.tensor(pictures)[None]
        self.masked = same & ~torch.eye(CAPTIONS, dtype=torch.bool) & (recipe == "default")
        trains = lambda name: (name.startswith(("text_model", "text_projection", "logit_scale"))
                               and "final_layer_norm" not in name)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(trains(name))
        self.parameters = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(self.parameters.values(), lr=1e-6, weight_decay=0.01)

    def rate(self, step, warmup=10):
        if self.recipe == "negationclip":
            return 1e-6
        if step < warmup:
            return 1e-6 * (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup))) * 1e-6

    def step(self, number):
        self.optimizer.param_groups[0]["lr"] = self.rate(number)
        text = F.normalize(features(self.model.get_text_features(**self.tokens)), dim=-1)
        scores = self.model.logit_scale.exp() * text @ self.image.T
        scores = scores.masked_fill(self.masked, -math.inf)
        target = torch.arange(CAPTIONS)
        loss = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.recipe == "default":
            self.model.logit_scale.data.clamp_(max=math.log(100))
        return loss.item()


def train(folder, recipe, epochs, out):
    rest = ["--set", "warmup_steps=10"] if recipe == "default" else []
    nclip("train", "--config", recipe, "--set", "precision=fp32", "--set", "validation_fraction=0",
          "--set", f"batch_size={CAPTIONS}", "--set", f"epochs={epochs}", *rest, "--model", folder / "model",
          "--captions", folder / "captions.jsonl", "--embeddings", folder / "store", "--out", out, "--quiet")
    lines = [json.loads(line) for line in open(out / "metrics.jsonl")]
    return [line["loss"] for line in lines if "loss" in line]


def check_features(folder, model, tokens):
    pixels = CLIPImageProcessor()(
        [Image.open(folder / "pictures" / f"{i:02}.png") for i in range(PICTURES)], return_tensors="pt")
    with torch.no_grad():
        text = features(model.get_text_features(**tokens))
        image = features(model.get_image_features(**pixels))
    for precision, allowed in (("fp32", 1e-5), ("bf16", 1e-2)):
        common = ("encode", "--model", folder / "model", "--precision", precision)
        nclip(*common, "--text", folder / "texts.txt", "--out", folder / "text.npy")
        nclip(*common, "--images", folder / "pictures", "--out", folder / "image.npy")
        check(f"texts, {precision}: 1 - cosine", distance(np.load(folder / "text.npy"), text), allowed)
        check(f"pictures, {precision}: 1 - cosine", distance(np.load(folder / "image.npy"), image), allowed)
        if precision == "fp32":
            cached = torch.from_numpy(np.load(folder / "image.npy"))
    return cached  # both sides train on these: gradients are not to tell pictures' differences


def check_gradients(folder, peer, single):
    """Against PyTorch in fp64; beside it, what PyTorch's own fp32 makes of the same."""
    train(folder, "negationclip", 1, folder / "one")
    moments = load_file(folder / "one" / "last" / "optimizer.safetensors")
    peer.step(0)
    single.step(0)
    worst, where, zero, own = 0.0, "", 0.0, 0.0
    largest = max(float(p.grad.norm()) for p in peer.parameters.values())
    for name, parameter in peer.parameters.items():
        got, expected = moments[f"first.{name}"].double() / 0.1, parameter.grad.double()
        error = float((got - expected).norm())
        single_error = float((single.parameters[name].grad.double() - expected).norm())
        # a key's bias moves no softmax: its gradient is rounding on both sides
        if name.endswith("k_proj.bias"):
            zero = max(zero, error / largest)
            continue
        own = max(own, single_error / float(expected.norm()))
        if error / float(expected.norm()) > worst:
            worst, where = error / float(expected.norm()), name
    check(f"{len(peer.parameters)} gradients, fp32: relative, the worst", worst, 1e-4)
    print(f"    ({where}; PyTorch's own fp32: {own:.2e})")
    check("keys' biases, fp32: against the largest gradient", zero, 1e-6)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="nclip-parity-"))
    try:
        model = make_model(folder / "model")
        captions, pictures = make_data(folder)
        tokens = CLIPTokenizer.from_pretrained(folder / "model")(
            captions, padding="max_length", max_length=77, return_tensors="pt")
        image = check_features(folder, model, tokens)[pictures]
        del model
        nclip("embed", "--model", folder / "model", "--images", folder / "pictures", "--out", folder / "store")
        check_gradients(folder, *(Peer(folder / "model", tokens, image, pictures, "negationclip", dtype)
                                  for dtype in (torch.float64, torch.float32)))
        for recipe in ("negationclip", "default"):
            losses = train(folder, recipe, STEPS, folder / recipe)
            peer = Peer(folder / "model", tokens, image, pictures, recipe)
            expected = [peer.step(i) for i in range(STEPS)]
            assert len(losses) == STEPS
            worst = max(abs(a - b) / abs(b) for a, b in zip(losses, expected))
            check(f"loss of {STEPS} steps, {recipe}: relative, the worst", worst, 1e-4)
            print(f"    ({expected[0]:.4f} at first, {expected[-1]:.4f} at last)")
    finally:
        shutil.rmtree(folder)
    if FAILED:
        raise SystemExit(f"{len(FAILED)} of the checks failed")


main()
