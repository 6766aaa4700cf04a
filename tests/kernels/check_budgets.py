#!/usr/bin/env python3
"""Whether attention over longer captions (attention_block.cu) can be bound by memory: the instructions
of a block over 77 tokens, counted in sm_90's code, against what a multiprocessor may issue while the
block's bytes move: 4 for every 15 bytes (attention.h), at the share of the bandwidth that is wanted.
Skips (77) without nvcc and cuobjdump (NVCC, CUOBJDUMP name others)."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TOKENS, HEAD, WARPS = 77, 64, 5
PAIRS = WARPS * (WARPS + 1) // 2  # of tiles, up to the diagonal
ROUNDS = WARPS * 16 * (HEAD // 8) // (WARPS * 32)  # that a thread copies pieces of 16 bytes of a matrix
# kernel: bytes a row of a head, share of the bandwidth
KERNELS = {"attention_block_forward": (4 * HEAD * 2 + 4, 0.80), "attention_block_backwardILi5E": (8 * HEAD * 2 + 4, 0.75)}


def find(name):
    return os.environ.get(name.upper()) or shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin")


def loops_of(code):
    found = []
    for address, operation, rest in code:
        target = re.search(r"0x([0-9a-f]+)$", rest)
        if operation.startswith("BRA") and target and int(target.group(1), 16) < address:
            first = int(target.group(1), 16)
            found.append([i for i in code if first <= i[0] <= address])
    return found


def has(code, kind):
    return sum(kind in operation for _, operation, _ in code)


def instructions(code):
    """Of a block: what stands in no loop once a warp, copies and rows in turns, pairs of tiles each once."""
    loops = loops_of(code)
    pair = min((l for l in loops if has(l, "HMMA") == has(code, "HMMA")), key=len)
    inner = [l for l in loops if has(l, "HMMA") and len(l) < len(pair)]  # over two chunks of the head
    rounds = [l for l in loops if not has(l, "HMMA") and (has(l, "LDGSTS") or l[-1][0] < pair[0][0])]
    straight = len(code) - len(pair) - sum(map(len, rounds))
    each = straight + ROUNDS * sum(map(len, rounds))
    return WARPS * each + PAIRS * (len(pair) + sum(map(len, inner)))


nvcc, cuobjdump = find("nvcc"), find("cuobjdump")
if not nvcc or not cuobjdump:
    print("SKIPPED: no nvcc, or no cuobjdump")
    sys.exit(77)
failed = False
with tempfile.TemporaryDirectory() as folder:
    cubin = os.path.join(folder, "cubin")
    subprocess.run([nvcc, "-std=c++17", "-O3", "-I", os.path.join(ROOT, "include"), '-DNCLIP_CUBLASLT_FOLDER=""', "-cubin",
                    "-arch=sm_90", "-o", cubin, os.path.join(ROOT, "kernels/cuda/attention_block.cu")], check=True)
    sass = subprocess.run([cuobjdump, "-sass", cubin], check=True, capture_output=True, text=True).stdout
functions = re.split(r"Function : (\S+)", sass)[1:]
for kernel, (row, share) in KERNELS.items():
    body = next(text for name, text in zip(functions[::2], functions[1::2]) if kernel in name)
    code = [(int(a, 16), o, r.strip()) for a, o, r in
            re.findall(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9._]*)\s*([^;]*);", body) if o != "NOP"]
    count, budget = instructions(code), TOKENS * row * 4 / 15 / share
    failed |= count > budget
    print(f"{kernel}: {count} instructions, {budget:.0f} may be issued at {share:.0%} of the bandwidth"
          f"{'  <- TOO MANY' if count > budget else ''}")
sys.exit(failed)
