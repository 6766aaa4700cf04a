#!/usr/bin/env python3
"""Whether kernels that may be launched early (kernels/cuda/early.cu) take their turn first, in sm_90's
code: each kernel whose source calls nc_take_turn() waits (ACQBULK) before its first access to global
memory, wherever the compiler has moved that, and lets the next one begin (PREEXIT) behind the wait.
Compares the addresses of instructions, so that loops backwards over the wait would go unseen: there is
none, as it stands first. Skips (77) without nvcc and cuobjdump (NVCC, CUOBJDUMP name others)."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
KERNELS = os.path.join(ROOT, "kernels", "cuda")
WAIT, RELEASE = "ACQBULK", "PREEXIT"
GLOBAL = re.compile(r"(LDG|STG|LDGSTS|LD|ST|ATOM|ATOMG|RED|REDG|CCTL|UBLKCP|UTMALDG)(\.|$)")


def find(name):
    return os.environ.get(name.upper()) or shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin")


def kernels_of(text):
    """Names of the kernels that take a turn, in their first line or not."""
    for match in re.finditer(r"__global__\s+void\s+(?:__launch_bounds__\((?:[^()]|\([^()]*\))*\)\s*)?(\w+)\(", text):
        body = text[match.end():text.index("\n}\n", match.end())]
        if "nc_take_turn();" in body:
            yield match.group(1)


nvcc, cuobjdump = find("nvcc"), find("cuobjdump")
if not nvcc or not cuobjdump:
    print("SKIPPED: no nvcc, or no cuobjdump")
    sys.exit(77)
wrong, seen = [], 0
with tempfile.TemporaryDirectory() as folder:
    cubin = os.path.join(folder, "cubin")
    for file in sorted(os.listdir(KERNELS)):
        text = open(os.path.join(KERNELS, file)).read()
        names = set(kernels_of(text)) if file.endswith(".cu") else ()
        if not names:
            continue
        subprocess.run([nvcc, "-std=c++17", "-O3", "-I", os.path.join(ROOT, "include"), '-DNCLIP_CUBLASLT_FOLDER=""',
                        "-cubin", "-arch=sm_90", "-o", cubin, os.path.join(KERNELS, file)], check=True)
        sass = subprocess.run([cuobjdump, "-sass", cubin], check=True, capture_output=True, text=True).stdout
        functions = re.split(r"Function : (\S+)", sass)[1:]
        for name in sorted(names):
            instances = [(symbol, body) for symbol, body in zip(functions[::2], functions[1::2])
                         if re.search(rf"\d{re.escape(name)}(I|E|P|N|\d|$)", symbol) or f"{len(name)}{name}" in symbol]
            if not instances:
                wrong.append(f"{file}: {name}: not in the code")
            for symbol, body in instances:
                seen += 1
                code = re.findall(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9._]*)", body)
                at = {kind: next((int(a, 16) for a, o in code if o.startswith(kind)), None) for kind in (WAIT, RELEASE)}
                first = next((int(a, 16) for a, o in code if GLOBAL.match(o)), None)
                if at[WAIT] is None:
                    wrong.append(f"{file}: {symbol}: never waits")
                elif first is not None and first < at[WAIT]:
                    wrong.append(f"{file}: {symbol}: touches global memory at {first:#x}, before it waits at {at[WAIT]:#x}")
                elif at[RELEASE] is None or at[RELEASE] < at[WAIT]:
                    wrong.append(f"{file}: {symbol}: does not let the next one begin behind its wait")
print(f"{seen} kernels")
print("\n".join(wrong))
sys.exit(bool(wrong) or not seen)
