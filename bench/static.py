#!/usr/bin/env python3
"""What the compiler made of CUDA kernels, for whoever tunes them. Needs no GPU.

For each kernel: registers and stack bytes of a thread, how many blocks share a multiprocessor
(by threads, registers, and --shared bytes of dynamic shared memory), and how many instructions of
each kind there are; with --loops the same of its innermost loops, where time goes. "Under way": the most
bytes of loads that a thread has asked for before it uses the first, and what that makes for a whole
multiprocessor; memory of 3.35 TB/s and 800 ns wants 20 KB of an H100's each. It counts what is
written, not what runs: a loop's numbers are those of one turn, both sides of a branch included.

Needs nvcc, and cuobjdump of the CUDA toolkit or of Triton's Python package.
"""
import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile

SM = {80: (164, "A100"), 90: (228, "H100, H200"), 100: (228, "B200")}  # KiB of shared memory
KINDS = (("mma", "HMMA|IMMA|DMMA|HGMMA|QGMMA"), ("ldmatrix", "LDSM"), ("cp.async", "LDGSTS|UBLKCP|UTMALDG"),
         ("load", r"LDG|LD\."), ("store", r"STG|ST\.|RED"), ("atomic", "ATOM"), ("SPILL", "LDL|STL"),
         ("shared", "LDS|STS"), ("mufu", "MUFU"), ("shuffle", "SHFL|VOTE"), ("barrier", "BAR|WARPSYNC"),
         ("fp64", r"D(ADD|MUL|FMA|SETP)"), ("fp32", "F(ADD|MUL|FMA|MNMX|SETP|SEL)"), ("other", ""))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                 epilog="example: python3 bench/static.py --loops --only sum_tiles "
                                        "--shared 150528 kernels/cuda/infonce.cu")
parser.add_argument("files", nargs="+", help="kernels/cuda/*.cu, or what nvcc made of them")
parser.add_argument("--arch", type=int, choices=SM, default=90, help="compute capability (default: 90)")
parser.add_argument("--only", default="", help="kernels whose name holds this")
parser.add_argument("--shared", type=int, default=0, help="dynamic shared memory of a block, in bytes")
parser.add_argument("--loops", action="store_true", help="and their innermost loops")
arguments = parser.parse_args()
root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def find(name):
    found = os.environ.get(name.upper()) or shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin")
    if not found:
        try:
            import triton
            found = shutil.which(name, path=os.path.join(os.path.dirname(triton.__file__), "backends/nvidia/bin"))
        except ImportError:
            pass
    return found or sys.exit(f"no {name} was found: set {name.upper()} to its path")


def run(*command, text=None):
    done = subprocess.run(command, capture_output=True, text=True, input=text)
    return done.stdout if done.returncode == 0 else sys.exit(f"{command[0]}: {done.stderr.strip()}")


def kinds_of(instructions):
    counted = collections.Counter()
    for _, operation, _ in instructions:
        counted[next(kind for kind, pattern in KINDS if re.match(pattern, operation))] += 1
    return "  ".join(f"{kind} {counted[kind]}" for kind, _ in KINDS if counted[kind])


def widths_of(instructions):
    """Bytes a lane of the accesses to global memory."""
    counted = collections.Counter()
    for _, operation, _ in instructions:
        if re.match(r"LDG\.|STG", operation):
            counted[("load" if operation.startswith("LDG") else "store", bytes_of(operation))] += 1
    return ", ".join(f"{count} {what}s of {size}" for (what, size), count in sorted(counted.items()))


def bytes_of(operation):
    bits = re.search(r"\.(U?S?8|U?S?16|64|128)\b", operation)
    return int(bits.group(1).lstrip("US")) // 8 if bits else 4


def under_way(instructions):
    """The most bytes that a thread has asked for by loads before it uses the first of them."""
    most, now, waiting = 0, 0, set()
    for _, operation, rest in instructions:
        registers = [int(r) for r in re.findall(r"\bR(\d+)", rest)]
        load = operation.startswith("LDG.")
        if waiting.intersection(registers[1:] if load else registers):
            now, waiting = 0, set()
        if load:
            now += bytes_of(operation)
            waiting.update(range(registers[0], registers[0] + max(1, bytes_of(operation) // 4)))
            most = max(most, now)
    return most


def loops_of(instructions):
    """From each jump back to where it goes, those that hold no other."""
    found = []
    for address, operation, rest in instructions:
        target = re.search(r"0x([0-9a-f]+)$", rest)
        if operation.startswith("BRA") and target and int(target.group(1), 16) < address:
            found.append((int(target.group(1), 16), address))
    return [(a, b) for a, b in found if not any((c, d) != (a, b) and a <= c and d <= b for c, d in found)]


def blocks_of(registers, threads):
    of_warp = -(-registers * 32 // 256) * 256  # given out 256 at a time
    by_registers = 65536 // of_warp // (threads // 32)
    by_shared = SM[arguments.arch][0] * 1024 // (arguments.shared + 1024)  # 1 KiB is the system's
    return min(by_registers, by_shared, 2048 // threads, 32)


def report(cubin):
    cuobjdump = find("cuobjdump")
    uses = dict(re.findall(r"Function (\S+):\s+(REG:.*)", run(cuobjdump, "-res-usage", cubin)))
    threads, section = {}, None
    for line in run(cuobjdump, "-elf", cubin).splitlines():
        header = re.match(r"\.nv\.info\.(\S+)", line)
        section = header.group(1) if header else section
        if "EIATTR_MAX_THREADS" in line:
            threads[section] = None
        value = re.search(r"Value:\s+0x(\w+) 0x(\w+) 0x(\w+)", line)
        if value and threads.get(section, 0) is None:
            x, y, z = (int(v, 16) for v in value.groups())
            threads[section] = x * y * z
    code = re.split(r"Function : (\S+)", run(cuobjdump, "-sass", cubin))[1:]
    for name, text in zip(code[::2], code[1::2]):
        plain = run("c++filt", name).strip().replace("(anonymous namespace)::", "").replace("void ", "")
        plain = re.sub(r"\((?!nc_)[^()]*\)$", "", plain)
        if arguments.only not in plain:
            continue
        instructions = [(int(a, 16), o, r.strip()) for a, o, r in
                        re.findall(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9._]*)\s*([^;]*);", text)]
        used = dict(re.findall(r"(REG|STACK):(\d+)", uses[name]))
        bound = threads.get(name)
        blocks = blocks_of(int(used["REG"]), bound) if bound else 0
        resident = f"{blocks} blocks of {bound} threads" if bound else "no launch bounds"

        def waits(part):
            bytes_each = under_way(part)
            return f"; under way {bytes_each} B, {bytes_each * blocks * (bound or 0) / 1024:.0f} KiB in all" if bytes_each else ""

        print(f"{plain}\n    {used['REG']} registers, {used['STACK']} bytes of stack, {resident}")
        print(f"    {kinds_of(instructions)}\n    {widths_of(instructions)}{waits(instructions)}")
        for first, last in loops_of(instructions) if arguments.loops else ():
            inside = [i for i in instructions if first <= i[0] <= last]
            print(f"    loop at {first:#x}: {len(inside)} instructions: {kinds_of(inside)}{waits(inside)}")


for file in arguments.files:
    if not file.endswith(".cu"):
        report(file)
        continue
    with tempfile.TemporaryDirectory() as folder:
        cubin = os.path.join(folder, "kernels.cubin")
        run(find("nvcc"), "-std=c++17", "-O3", "-I", os.path.join(root, "include"), "-DNCLIP_CUBLASLT_FOLDER=\"\"",
            "-cubin", f"-arch=sm_{arguments.arch}", "-o", cubin, file)
        report(cubin)
