"""Reads a run folder with TensorBoard and compares it with metrics.jsonl.

    python check_events.py RUN      (needs: tensorboard)

Every scalar of every line must be in TensorBoard under its step, and nothing else: what a
resumed run did again must be there once.
"""
import json
import math
import struct
import sys

from tensorboard.backend.event_processing import event_accumulator


def main(run):
    accumulator = event_accumulator.EventAccumulator(
        run, size_guidance={event_accumulator.SCALARS: 0}, purge_orphaned_data=True
    )
    accumulator.Reload()
    found = {}
    for tag in accumulator.Tags()["scalars"]:
        group, name = tag.split("/", 1)
        for event in accumulator.Scalars(tag):
            for key in (name, f"{group}_{name}"):
                found.setdefault((event.step, key), []).append(event.value)

    lines = compared = 0
    for line in open(f"{run}/metrics.jsonl", encoding="utf-8"):
        lines += 1
        values = json.loads(line)
        step = values.pop("step")
        for name, value in values.items():
            if value is None:
                continue
            single = struct.unpack("f", struct.pack("f", value))[0]
            scalars = found.get((step, name), [])
            if not any(math.isclose(single, scalar, rel_tol=0, abs_tol=0) for scalar in scalars):
                sys.exit(f"{run}: step {step}, {name}: {value} in metrics.jsonl, {scalars} in TensorBoard")
            compared += 1
    steps = {step for step, _ in found}
    known = {json.loads(line)["step"] for line in open(f"{run}/metrics.jsonl", encoding="utf-8")}
    if steps - known:
        sys.exit(f"{run}: TensorBoard has steps that metrics.jsonl lacks: {sorted(steps - known)[:5]}")
    for tag in accumulator.Tags()["scalars"]:
        listed = [event.step for event in accumulator.Scalars(tag)]
        if listed != sorted(set(listed)):
            sys.exit(f"{run}: {tag}: steps stand there twice or out of order")
    print(f"{run}: {compared} scalars of {lines} lines agree")


main(sys.argv[1])
