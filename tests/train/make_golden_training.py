#!/usr/bin/env python3
"""Makes tests/train/golden_training.txt: loss, gradient norm and logit scale of 100 steps that
PyTorch and transformers take, in fp64, with the quick start's model, the pictures and captions
of tests/cli/shared/pictures.sh, and everything that a recipe can ask for: contradictions, masked
pairs of one picture, warm-up and cosine, clipping by the global norm, decay, the scale's clamp.
All captions are one batch, so that their order does not matter.

    python3 tests/train/make_golden_training.py        (torch, transformers, pillow)

tests/cli/golden_training.sh trains the same.
"""
import json
import math
import pathlib
import subprocess
import tempfile

import torch
import torch.nn.functional as F
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent.parent / "configs" / "quickstart" / "model"
STEPS, RATE, WARMUP, DECAY, CLIP, MOST = 100, 3e-4, 10, 0.1, 1.0, 2.651


def features(output):
    return output if torch.is_tensor(output) else output.pooler_output


def read_data(folder):
    subprocess.run(["sh", "-c", '. "$0" && draw_pictures pictures && write_captions captions.jsonl',
                    HERE.parent / "cli" / "shared" / "pictures.sh"], cwd=folder, check=True)
    return [json.loads(line) for line in open(folder / "captions.jsonl")]


def learning_rate(step):
    if step < WARMUP:
        return RATE * (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) * RATE


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    captions = read_data(folder)
    model = CLIPModel.from_pretrained(MODEL).double().eval()
    tokenizer = CLIPTokenizer.from_pretrained(MODEL)
    names = sorted({c["image"] for c in captions})
    pixels = CLIPImageProcessorPil.from_pretrained(MODEL)(
        [Image.open(folder / "pictures" / n).convert("RGB") for n in names], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        image = F.normalize(features(model.get_image_features(pixel_values=pixels.double())), dim=-1)
    own = torch.tensor([names.index(c["image"]) for c in captions])
    image = image[own]
    count = len(captions)
    masked = (own[:, None] == own[None]) & ~torch.eye(count, dtype=torch.bool)
    denied = [i for i, c in enumerate(captions) if "contradiction" in c]
    texts = [c["caption"] for c in captions] + [captions[i]["contradiction"] for i in denied]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    target = torch.arange(count)

    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(("text_model", "text_projection", "logit_scale")))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=DECAY)
    lines = []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = learning_rate(step)
        text = F.normalize(features(model.get_text_features(**tokens)), dim=-1)
        scale = model.logit_scale.exp()
        scores = (scale * text[:count] @ image.T).masked_fill(masked, -math.inf)
        extra = torch.full((count, 1), -math.inf, dtype=torch.float64)
        extra = extra.index_put((torch.tensor(denied), torch.tensor(0)),
                                scale * (text[count:] * image[denied]).sum(-1))
        loss = (F.cross_entropy(scores, target) + F.cross_entropy(torch.cat([scores.T, extra], 1), target)) / 2
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        model.logit_scale.data.clamp_(max=MOST)
        lines.append(f"{loss.item():.9f} {norm.item():.9f} {model.logit_scale.item():.9f}\n")
    (HERE / "golden_training.txt").write_text("".join(lines))
    print(lines[0], lines[-1])


main()
