"""Makes tests/model/towers/: tiny random CLIPs with the features, the loss and every
gradient of the text tower that PyTorch and transformers compute for them in fp64.

    python3 tests/model/make_towers_golden.py           # writes the files
    python3 tests/model/make_towers_golden.py --bf16    # prints PyTorch's own error in bf16

Two models, so that both activations, both end-of-text rules and a head size that is
no power of two are covered. fp64 makes the values a reference for any precision.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

HERE = pathlib.Path(__file__).parent / "towers"

MODELS = {
    "quick_gelu": dict(activation="quick_gelu", heads=2, width=64, mlp=100, eos=49, layers=2),
    "gelu": dict(activation="gelu", heads=1, width=40, mlp=72, eos=2, layers=3),
}
CAPTIONS = [  # 48 starts, 49 ends; ragged, with shared beginnings and one caption twice
    [48, 5, 6, 7, 49],
    [48, 5, 6, 8, 9, 10, 11, 49],
    [48, 49],
    [48, 5, 6, 7, 49],
    [48, 0, 47, 3, 4, 1, 2, 30, 31, 32, 33, 34, 35, 36, 37, 49],
    [48, 5, 49],
    [48, 12, 13, 14, 15, 16, 49],
]
CONTEXT = 16


def build(spec, seed):
    torch.manual_seed(seed)
    width = spec["width"]
    tower = dict(hidden_size=width, intermediate_size=spec["mlp"], num_hidden_layers=spec["layers"],
                 num_attention_heads=spec["heads"], hidden_act=spec["activation"])
    config = CLIPConfig(
        text_config=dict(tower, vocab_size=50, max_position_embeddings=CONTEXT, bos_token_id=48,
                         eos_token_id=spec["eos"], pad_token_id=1),
        vision_config=dict(tower, image_size=20, patch_size=6),
        projection_dim=24)
    model = CLIPModel(config).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Norms and biases start at one and zero: moved, or half the terms could be wrong unseen.
            if parameter.ndim < 2 and name != "logit_scale":
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif parameter.ndim >= 2:
                parameter.mul_(4)
    return model


def batch(spec):
    pad = 49 if spec["eos"] != 2 else 0
    ids = torch.tensor([c + [pad] * (CONTEXT - len(c)) for c in CAPTIONS])
    mask = torch.tensor([[1] * len(c) + [0] * (CONTEXT - len(c)) for c in CAPTIONS])
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randn(len(CAPTIONS), 3, 20, 20, generator=generator, dtype=torch.float32)
    return ids, mask, pixels


def run(model, ids, mask, pixels):
    """Features, loss, and the gradients of all that is not the vision tower."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not name.startswith("vis")
        parameter.grad = None
    text = model.text_projection(model.text_model(input_ids=ids, attention_mask=mask).pooler_output)
    image = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    text, image = (x.to(model.logit_scale.dtype) for x in (text, image))
    text = text / text.norm(dim=-1, keepdim=True)
    image = image / image.norm(dim=-1, keepdim=True)
    logits = model.logit_scale.exp() * text @ image.t()
    labels = torch.arange(len(ids))
    loss = (torch.nn.functional.cross_entropy(logits, labels)
            + torch.nn.functional.cross_entropy(logits.t(), labels)) / 2
    loss.backward()
    values = {"text": text.detach(), "image": image.detach(), "loss": loss.detach().reshape(1)}
    for key, parameter in model.named_parameters():
        if parameter.grad is not None:
            values["gradient." + key] = parameter.grad.reshape(parameter.shape or (1,))
    return {k: v.float().contiguous() for k, v in values.items()}


def write():
    for name, spec in MODELS.items():
        folder = HERE / name
        # What is compared is what the files hold: fp32 values, computed in fp64.
        build(spec, seed=len(name)).float().save_pretrained(folder)
        model = CLIPModel.from_pretrained(folder, attn_implementation="eager").double().eval()
        ids, mask, pixels = batch(spec)
        values = run(model, ids, mask, pixels.double())
        save_file(dict(values, pixels=pixels), folder / "golden.safetensors")
        print(name, values["loss"].item(), sum(v.numel() for v in values.values()))
    (HERE / "captions.json").write_text(json.dumps(CAPTIONS) + "\n")


def bf16_error():
    for name, spec in MODELS.items():
        folder = HERE / name
        model = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
        ids, mask, pixels = batch(spec)
        with torch.autocast("cpu", torch.bfloat16):
            values = run(model, ids, mask, pixels)
        golden = load_file(folder / "golden.safetensors")
        errors = {}
        for key, value in values.items():
            if "k_proj.bias" not in key:
                errors[key] = ((value - golden[key]).norm() / golden[key].norm()).item()
        cosine = max((1 - torch.nn.functional.cosine_similarity(values[k], golden[k])).max().item()
                     for k in ("text", "image"))
        worst = max((v, k) for k, v in errors.items() if k.startswith("gradient"))
        print(f"{name}: 1 - cosine {cosine:.3g}, loss {errors['loss']:.3g}, worst gradient {worst[0]:.3g} {worst[1]}")


if "--bf16" in sys.argv:
    bf16_error()
else:
    write()
