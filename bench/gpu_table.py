#!/usr/bin/env python3
"""The figures of bench/gpu.sh as one file with machine and commit, and as a short table.

    python3 bench/gpu_table.py [--quiet] FOLDER OUT.json [EARLIER.json]

FOLDER holds what the parts left; a part that did not run is taken from EARLIER.
"""
import argparse
import csv
import glob
import json
import os
import statistics

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quiet", action="store_true")
parser.add_argument("folder")
parser.add_argument("out")
parser.add_argument("earlier", nargs="?")
arguments = parser.parse_args()


def text(name):
    path = os.path.join(arguments.folder, name)
    return open(path).read().strip() if os.path.exists(path) else None


def objects(pattern):
    """Of all files that match, one a line; a line that was cut off does not count."""
    for path in sorted(glob.glob(os.path.join(arguments.folder, pattern))):
        for line in open(path):
            try:
                yield json.loads(line)
            except ValueError:
                pass


def kernels():
    """Rows of all runs, the last of each kind; ceilings are those of a row's own run."""
    rows, head = {}, None
    for run in objects("kernels*.json"):
        head = head or {key: value for key, value in run.items() if key != "rows"}
        for row in run["rows"]:
            row["copy_gigabytes_per_second"] = run["copy_gigabytes_per_second"]
            row["matrix_teraflops"] = run["matrix_teraflops"]
            rows[row["operation"], row["shape"], row.get("lengths")] = row
    return {**head, "rows": list(rows.values())} if head else None


def device():
    """What the driver says, and the clocks and the power while something was measured."""
    lines = list(csv.reader((text("device.csv") or "").splitlines(), skipinitialspace=True))
    found = dict(zip(lines[0], lines[1])) if len(lines) > 1 else {}
    samples = [row for row in csv.reader((text("state.csv") or "").splitlines(), skipinitialspace=True) if len(row) == 5]
    for place, name in enumerate(("sm_megahertz", "memory_megahertz", "watts", "degrees")):
        values = []
        for row in samples:
            try:
                values.append(float(row[place]))
            except ValueError:
                pass
        if values:
            found[name] = {"least": min(values), "median": statistics.median(values), "most": max(values)}
    if samples:
        found["performance_states"] = sorted({row[4] for row in samples})
    return found or None


parts = {"device": device(), "toolkit": text("toolkit"), "commit": text("commit"),
         "check": next(objects("check.json"), None), "sanitizer": (text("sanitizer.txt") or "").splitlines() or None, "kernels": kernels(),
         "kernel_peers": list(objects("kernels-peers.jsonl")) or None}
for name in ("train", "train-shared", "train-torch", "train-torch-trim", "epochs"):
    parts[name] = next(objects(name + ".json"), None)
pictures = list(objects("embed-*.json"))
parts["embed"] = [run for run in pictures if run["benchmark"] == "embed"] or None
parts["embed_peers"] = [run for run in pictures if run["benchmark"] == "embed peers"] or None
if arguments.earlier:
    earlier = json.load(open(arguments.earlier))
    for name in list(parts):
        if parts[name] is None and earlier.get(name) is not None:
            parts[name] = earlier[name]
            parts.setdefault("from_earlier", {"device": earlier["device"], "commit": earlier["commit"], "parts": []})[
                "parts"].append(name)
with open(arguments.out + ".partial", "w") as file:
    json.dump(parts, file, indent=1)
os.replace(arguments.out + ".partial", arguments.out)

if not arguments.quiet:
    if parts["kernels"]:
        run, peers = parts["kernels"], parts["kernel_peers"] or []
        print(f"copy {run['copy_gigabytes_per_second']:.0f} GB/s, products {run['matrix_teraflops']:.0f} TFLOP/s")
        print(f"{'operation':23}{'shape':17}{'lengths':8}{'ms':>10}{'share':>6}{'equal':>6}  best peer")
        for row in run["rows"]:
            place = (row["operation"], row["shape"], row.get("lengths"))
            others = [p for p in peers if (p["operation"], p["shape"], p["lengths"]) == place and "milliseconds" in p]
            best = min(others, key=lambda p: p["milliseconds"], default=None)
            equal = f"{100 * row['share_of_equal_copy']:5.0f}%" if "share_of_equal_copy" in row else "      "
            note = f"  {best['milliseconds'] / row['milliseconds']:.1f}x {best['program']}" if best else ""
            print(f"{place[0]:23}{place[1]:17}{place[2] or '-':8}{row['milliseconds']:10.4f}{100 * row['share']:5.0f}%{equal}{note}")
    for name in ("train", "train-shared", "train-torch", "train-torch-trim", "epochs"):
        if parts[name]:
            seconds = f", {parts[name]['seconds']:.1f} s in all" if "seconds" in parts[name] else ""
            print(f"{name:20}{parts[name]['captions_per_second']:10.0f} captions/s{seconds}")
    for run in parts["embed"] or ():
        peer = next((p for p in parts["embed_peers"] or () if p.get("shape") == run["shape"]), {})
        rates = []
        for name, own, other in (("decode", "decode_all_cores", "dataloader"), ("tower", "device_alone", "device_alone"),
                                 ("both", "both", "both")):
            times = f" ({run[own] / peer[other]:.1f}x PyTorch)" if peer.get(other) else ""
            rates.append(f"{name} {run[own]:.0f}{times}")
        print(f"{'pictures, ' + run['shape']:20}{', '.join(rates)} a second; {run['limit']} limits both")
    for line in parts["sanitizer"] or ():
        if not line.endswith(" ok"):
            print(line)
    print(arguments.out)
