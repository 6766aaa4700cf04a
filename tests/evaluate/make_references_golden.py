#!/usr/bin/env python3
"""Makes tests/evaluate/references/: small generated data in every benchmark's format, and what the
benchmarks' own evaluations give on it for the quick start's model (expected.json).

    python3 tests/evaluate/make_references_golden.py     (packages as for check_references.py)
"""
import json
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from references import CASES, Reference, make_data  # noqa: E402

FOLDER = HERE / "references"
MODEL = HERE.parent.parent / "configs" / "quickstart" / "model"

shutil.rmtree(FOLDER, ignore_errors=True)
make_data(FOLDER)
reference = Reference(MODEL, FOLDER)
expected = []
for name, (evaluate, benchmark, arguments) in CASES.items():
    score, parts, choices, *best = evaluate(reference)
    expected.append({"name": name, "benchmark": benchmark, **arguments, "score": score, "parts": parts, "choices": choices,
                     **({"best": best[0]} if best else {})})
lines = ",\n".join(json.dumps(case) for case in expected)
(FOLDER / "expected.json").write_text(f"[{lines}]\n")
