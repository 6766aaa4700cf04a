#!/usr/bin/env python3
"""Checks, with the real libraries, that SigLIP, SigLIP 2, MetaCLIP 2 and open_clip's towers go through
nclip and back: texts give the features that transformers and open_clip compute, and a text tower that
was changed, put back into the checkpoint that it comes from, loads in the peers with nclip's features,
equal logits and the vision tower as it was.

    python3 -W ignore tests/check_families.py [build/nclip]     (ctest: cli/families_peers, with $NCLIP_PYTHON)

All models are tiny and random; nothing is downloaded. Without torch, transformers and safetensors all of
it is SKIPPED (exit code 77), without open_clip its part.
"""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1",
                  TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false", TQDM_DISABLE="1")


def missing(*packages):
    return [p for p in packages if importlib.util.find_spec(p) is None]


NEEDED = ("numpy", "torch", "transformers", "safetensors", "sentencepiece", "tokenizers")
if missing(*NEEDED):
    print("SKIPPED: these Python packages are missing:", *missing(*NEEDED))
    raise SystemExit(77)

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
NCLIP = sys.argv[1] if len(sys.argv) > 1 else str(HERE.parent / "build" / "nclip")
PIECES = HERE / "tokenizer" / "golden_pieces"
TEXTS = ["a red circle", "A shape that is NOT red!", "there is no triangle in the picture", "blue", "",
         "a picture of a green rectangle without a frame, and of nothing else that one could see in it"]
FAILED = []


def nclip(*arguments):
    done = subprocess.run([NCLIP, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"nclip {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout


def report(what, difference, allowed):
    bad = not difference <= allowed
    print(f"{'FAILED' if bad else 'ok':6}  {what:58} {difference:.2e} (allowed {allowed:.0e})")
    if bad:
        FAILED.append(what)


def distance(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float((1 - cosine).max())


def encode(model, folder):
    (folder / "texts").write_text("\n".join(TEXTS) + "\n")
    nclip("encode", "--model", model, "--text", folder / "texts", "--out", folder / "features.npy")
    return np.load(folder / "features.npy")


def random_weights(model, seed=3):
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in ("logit_scale", "logit_bias"):
                value.fill_(3.0 if name == "logit_scale" else -8.0)
            elif value.ndim >= 2:
                value.copy_(torch.randn_like(value) * (2.0 / value.shape[-1]) ** 0.5)
            else:
                value.add_(0.1 * torch.randn_like(value))
    return model.eval()


def text_features(model, ids):
    with torch.no_grad():
        output = model.get_text_features(input_ids=ids)
    return (output if torch.is_tensor(output) else output.pooler_output).numpy()


def padded(tokenize, pad, context, end):
    rows = []
    for text in TEXTS:
        ids = tokenize(text)
        if len(ids) > context:
            ids = ids[:context - 1] + [end]
        rows.append(ids + [pad] * (context - len(ids)))
    return torch.tensor(rows)


def whole(name, original, ids, allowed_untouched):
    """Out of nclip and into the original again: the same logits; and with a changed text tower, nclip's."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        folder = scratch / "original"
        original.save_pretrained(folder)
        for file in name["tokenizer"].iterdir():
            shutil.copy(file, folder)
        nclip("import", folder, "--text-only", "--out", scratch / "text")
        got = encode(scratch / "text", scratch)
        report(f"{name['name']}: features of texts", distance(got, text_features(original, ids)), 1e-5)
        report(f"{name['name']}: the folder as it is", distance(encode(folder, scratch), got), 1e-15)
        # Another text tower, in nclip's folder.
        weights = load_file(scratch / "text" / "model.safetensors")
        changed = {k: v + 0.02 * torch.randn(v.shape) if v.ndim >= 2 else v for k, v in weights.items()}
        save_file(changed, scratch / "text" / "model.safetensors", metadata={"format": "pt"})
        nclip("export", "--model", scratch / "text", "--format", "hf", "--with", folder, "--out", scratch / "whole")
        model = type(original).from_pretrained(scratch / "whole").eval()
        got = encode(scratch / "text", scratch)
        report(f"{name['name']}: the changed tower in {type(original).__name__}",
               distance(got, text_features(model, ids)), 1e-5)
        before, after = original.state_dict(), model.state_dict()
        vision = max((before[k] - after[k]).abs().max().item() for k in before if k.startswith("vision_model."))
        report(f"{name['name']}: the vision tower", vision, allowed_untouched)
        for k in ("logit_scale", "logit_bias"):
            if k in before:
                report(f"{name['name']}: {k}", (before[k] - after[k]).abs().max().item(), 0)
        logits = reference_logits(model, ids)
        scale = after["logit_scale"].exp().item()
        expected = scale * got @ logits["images"].T + (after["logit_bias"].item() if "logit_bias" in after else 0)
        report(f"{name['name']}: logits", float(np.abs(expected - logits["text"]).max()), 2e-3)
        nclip("export", "--model", scratch / "text", "--format", "hf-text-projection", "--out", scratch / "alone")
        alone = getattr(transformers, name["alone"]).from_pretrained(scratch / "alone").eval()
        with torch.no_grad():
            output = alone(input_ids=ids)
        features = getattr(output, "text_embeds", None)
        features = output.pooler_output if features is None else features
        report(f"{name['name']}: {name['alone']}", distance(got, features.numpy()), 1e-5)


def reference_logits(model, ids):
    size = model.config.vision_config.image_size
    pixels = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        output = model(input_ids=ids, pixel_values=pixels)
    images = output.image_embeds / output.image_embeds.norm(dim=-1, keepdim=True)
    return {"text": output.logits_per_text.numpy(), "images": images.numpy()}


TOWER = dict(hidden_size=64, num_attention_heads=2, intermediate_size=96, num_hidden_layers=2)


def siglip():
    tokenizer = transformers.SiglipTokenizer(str(PIECES / "siglip" / "spiece.model"))
    model = transformers.SiglipModel(transformers.SiglipConfig(
        text_config=dict(TOWER, vocab_size=tokenizer.vocab_size, max_position_embeddings=24, pad_token_id=1),
        vision_config=dict(TOWER, image_size=16, patch_size=8)))
    ids = padded(lambda text: tokenizer(text)["input_ids"], 1, 24, 1)
    whole(dict(name="SigLIP", tokenizer=PIECES / "siglip", alone="SiglipTextModel"), random_weights(model), ids, 0)


def siglip_with_gemma():
    """SigLIP 2 of fixed resolution: SigLIP's model_type, and a tokenizer whose padding is its own."""
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(str(PIECES / "siglip2" / "tokenizer.json"))
    model = transformers.SiglipModel(transformers.SiglipConfig(
        text_config=dict(TOWER, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=24),
        vision_config=dict(TOWER, image_size=16, patch_size=8)))
    ids = padded(lambda text: tokenizer.encode(text).ids, 0, 24, 1)
    whole(dict(name="SigLIP 2", tokenizer=PIECES / "siglip2", alone="SiglipTextModel"), random_weights(model), ids, 0)


def metaclip_2():
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(str(PIECES / "metaclip_2" / "tokenizer.json"))
    text = dict(TOWER, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=77, bos_token_id=0,
                eos_token_id=2, pad_token_id=1, projection_dim=24)
    model = transformers.MetaClip2Model(transformers.MetaClip2Config(
        text_config=text, projection_dim=24, vision_config=dict(TOWER, image_size=16, patch_size=8)))
    ids = padded(lambda text: tokenizer.encode(text).ids, 1, 77, 2)
    name = dict(name="MetaCLIP 2", tokenizer=PIECES / "metaclip_2", alone="MetaClip2TextModelWithProjection")
    whole(name, random_weights(model), ids, 0)
    return model, ids


def in_open_clip(model, ids):
    """MetaCLIP 2 has CLIP's own vision tower: both towers go to open_clip, and its tokenizer, whose end
    open_clip 4 holds the config's eos_id to."""
    import open_clip
    print(f"open_clip {open_clip.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        model.save_pretrained(scratch / "model")
        for file in (PIECES / "metaclip_2").iterdir():
            shutil.copy(file, scratch / "model")
        nclip("export", "--model", scratch / "model", "--format", "open_clip", "--out", scratch / "open_clip")
        config = json.loads((scratch / "open_clip" / "open_clip_config.json").read_text())
        report("open_clip: an explicit eos_id", abs(config["model_cfg"]["text_cfg"].get("eos_id", -1) - 2), 0)
        theirs, _, _ = open_clip.create_model_and_transforms(f"local-dir:{scratch / 'open_clip'}")
        theirs.eval()
        with torch.no_grad():
            got = theirs.encode_text(ids).numpy()
        report("open_clip: MetaCLIP 2's features", distance(got, text_features(model, ids)), 1e-5)
        size = model.config.vision_config.image_size
        pixels = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            images, texts, scale = theirs(pixels, ids)[:3]
        logits = (scale * texts @ images.T).numpy()
        report("open_clip: MetaCLIP 2's logits", float(np.abs(logits - reference_logits(model, ids)["text"]).max()), 2e-3)
        tokenizer = open_clip.get_tokenizer(f"local-dir:{scratch / 'open_clip'}")
        hostile = TEXTS + ["“No” dogs’ &amp; cats", "sÃ³lo  un_perro", "ﬁve ﬂags\u00a0Ⅷ"]
        (scratch / "hostile").write_text("\n".join(hostile) + "\n", encoding="utf-8")
        ours = nclip("tokenize", "--model", scratch / "open_clip", "--context", 77, scratch / "hostile")
        pad = tokenizer.tokenizer.pad_token_id
        ours = [json.loads(line) for line in ours.splitlines()]
        ours = torch.tensor([row + [pad] * (77 - len(row)) for row in ours])
        report("open_clip: ids of its tokenizer", int((ours != tokenizer(hostile)).sum()), 0)


def open_clip_families():
    import open_clip
    families = HERE / "model" / "families"
    for name in ("open_clip_siglip2", "mobileclip_s", "pe_core", "clipa", "worldwide"):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            config = json.loads((families / name / "open_clip_config.json").read_text())["model_cfg"]
            custom = config.pop("custom_text", False)
            model = (open_clip.model.CustomTextCLIP if custom else open_clip.model.CLIP)(**config).eval()
            weights = load_file(families / name / "open_clip_model.safetensors")
            model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
            folder = scratch / "original"
            folder.mkdir()
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
            shutil.copy(families / name / "open_clip_config.json", folder)
            captions = json.loads((families / name / "captions.json").read_text())
            (scratch / "ids").write_text("".join(json.dumps(c) + "\n" for c in captions))
            nclip("import", folder, "--text-only", "--out", scratch / "text")
            changed = {k: v + 0.02 * torch.randn(v.shape) if v.ndim >= 2 else v
                       for k, v in load_file(scratch / "text" / "model.safetensors").items()}
            save_file(changed, scratch / "text" / "model.safetensors", metadata={"format": "pt"})
            nclip("export", "--model", scratch / "text", "--format", "open_clip", "--with", folder, "--out",
                  scratch / "whole")
            nclip("encode", "--model", scratch / "text", "--ids", scratch / "ids", "--out", scratch / "f.npy")
            model.load_state_dict(load_file(scratch / "whole" / "open_clip_model.safetensors"))
            context = config["text_cfg"]["context_length"]
            ids = torch.tensor([c + [0] * (context - len(c)) for c in captions])
            with torch.no_grad():
                theirs = model.encode_text(ids).numpy()
            report(f"open_clip: the changed tower of {name}", distance(np.load(scratch / "f.npy"), theirs), 1e-5)


siglip()
siglip_with_gemma()
model, ids = metaclip_2()
if missing("open_clip"):
    print("SKIPPED: open_clip is missing")
else:
    in_open_clip(model, ids)
    open_clip_families()
raise SystemExit(f"{len(FAILED)} failed" if FAILED else 0)
