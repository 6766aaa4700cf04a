#!/usr/bin/env python3
"""Checks nclip evaluate against each benchmark's own evaluation, live, with a randomly initialised
CLIP on generated data: the same choice for every item, the same score, the same parts.

    python3 tests/evaluate/check_references.py [build/nclip [SEED]]
    (torch, transformers, clip-benchmark, scikit-learn, pillow)

Prints a line for each benchmark; exit code 77 where a package is missing.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
try:
    import torch
    from references import CASES, Reference, make_data
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(77)

ROOT = HERE.parent.parent
NCLIP = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build" / "nclip")
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
SMALL = ROOT / "configs" / "quickstart" / "model"  # lends its tokenizer


def make_model(folder):
    torch.manual_seed(SEED)
    tower = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2)
    config = CLIPConfig(text_config=dict(tower, vocab_size=776, bos_token_id=774, eos_token_id=775, pad_token_id=775,
                                         max_position_embeddings=32),
                        vision_config=dict(tower, image_size=32, patch_size=8), projection_dim=48)
    model = CLIPModel(config).eval()
    with torch.no_grad():  # so that features differ by more than rounding
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                parameter.mul_(6)
    model.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(SMALL / name, folder / name)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)


def main():
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        model, data = pathlib.Path(folder) / "model", pathlib.Path(folder) / "data"
        make_model(model)
        make_data(data, SEED)
        reference = Reference(model, data)
        for name, (evaluate, benchmark, arguments) in CASES.items():
            score, parts, choices, *best = evaluate(reference)
            items = pathlib.Path(folder) / "items.jsonl"
            options = [x for key, value in arguments.items() for x in ("--" + key, str(data / value))]
            done = subprocess.run([NCLIP, "evaluate", benchmark, "--model", model, *options, "--items", items, "--json"],
                                  capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"nclip evaluate {benchmark}: {done.stderr.strip()}")
            ours = json.loads(done.stdout)
            lines = [json.loads(line) for line in items.read_text().splitlines()]
            chosen = [line["choice"] for line in lines]
            same = chosen == choices and abs(ours["score"] - score) < 1e-6 and all(
                abs(ours["groups"][part]["score"] - value) < 1e-6 for part, value in parts.items()) and all(
                abs(max(line["scores"]) - value) < 1e-5 for values in best for line, value in zip(lines, values))
            failed |= not same
            print(f"{name:<12} {len(choices):4} items  score {ours['score']:.4f}  reference {score:.4f}  "
                  f"{sum(a != b for a, b in zip(chosen, choices))} other choices  {'ok' if same else 'FAILED'}", flush=True)
    sys.exit(1 if failed else 0)


main()
