#!/usr/bin/env python3
"""The figures of bench/gpu.sh as one short table, and as one file with machine and commit.

    python3 bench/gpu_table.py FOLDER       reads kernels-gpu.json and the rest, writes gpu.json
"""
import json
import os
import subprocess
import sys

folder = sys.argv[1]


def read(name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return [json.loads(line) for line in file if line.strip()] if name.endswith("l") else json.load(file)


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


kernels, peers = read("kernels-gpu.json"), read("kernels-gpu-peers.jsonl") or []
if kernels:
    print(f"copy {kernels['copy_gigabytes_per_second']:.0f} GB/s, products {kernels['matrix_teraflops']:.0f} TFLOP/s")
    print(f"{'operation':24}{'shape':18}{'lengths':8}{'ms':>10}{'share':>7}  best peer")
    for row in kernels["rows"]:
        place = (row["operation"], row["shape"], row.get("lengths"))
        others = [p for p in peers if (p["operation"], p["shape"], p["lengths"]) == place and "milliseconds" in p]
        best = min(others, key=lambda p: p["milliseconds"], default=None)
        note = f"{best['milliseconds']:.3f} ms, {best['milliseconds'] / row['milliseconds']:.1f}x ({best['program']})" if best else ""
        print(f"{place[0]:24}{place[1]:18}{place[2] or '-':8}{row['milliseconds']:10.4f}{100 * row['share']:6.0f}%  {note}")

runs = {}
for name in ("train-gpu", "train-gpu-shared", "train-gpu-torch", "train-gpu-torch--trim", "epochs-gpu"):
    run = read(name + ".json")
    if run:
        runs[name] = run
        seconds = f", {run['seconds']:.1f} s in all" if "seconds" in run else ""
        print(f"{name:24}{run['captions_per_second']:10.0f} captions/s{seconds}")

result = {"device": output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"),
          "toolkit": output("nvcc", "--version").splitlines()[-1],
          "commit": output("git", "describe", "--always", "--dirty"),
          "kernels": kernels, "kernel_peers": peers, "runs": runs}
path = os.path.join(folder, "gpu.json")
with open(path + ".partial", "w") as file:
    json.dump(result, file, indent=1)
os.replace(path + ".partial", path)
print(path)
