#!/usr/bin/env python3
"""Measures the error that PyTorch itself makes, against double precision, on the inputs of
the kernel tests, and writes torch_error.h. Those tests allow twice as much.

    python3 measure_torch_error.py > torch_error.h        (needs torch and numpy)

Shapes and seeds are those of the test_*.c of the same name; numbers() is the one of kernels.c.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(2)
TYPES = {"NC_FLOAT32": torch.float32, "NC_BFLOAT16": torch.bfloat16}
LINES = []


def numbers(seed, count, size=1.0, dtype=torch.float32):
    with np.errstate(over="ignore"):
        z = (np.uint64(seed << 32) | np.arange(count, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    mask = np.uint64(0xFFFF)
    total = sum(((z >> np.uint64(s)) & mask).astype(np.float64) for s in (0, 16, 32, 48))
    values = (total / 65536 - 2) * math.sqrt(3) * size
    return torch.from_numpy(values.astype(np.float32)).to(dtype)


def record(output, name, type_name, actual, expected):
    actual, expected = actual.detach().double().flatten(), expected.detach().double().flatten()
    size = expected.square().mean().sqrt()
    error = (actual - expected).abs()
    mean, worst = error.square().mean().sqrt() / size, error.max() / size
    LINES.append(f'    {{"{output}", "{name}", {type_name}, {mean.item():.3e}, {worst.item():.3e}}},')


def twice(compute, type_name, *inputs):
    """compute() in T and in double, with gradients; both get the same rounded inputs."""
    results = []
    for dtype in (TYPES[type_name], torch.float64):
        leaves = [x.detach().to(TYPES[type_name]).to(dtype).clone().requires_grad_() for x in inputs]
        results.append(compute(dtype, *leaves))
    return results


def attention():
    cases = {"one": ([1], 1, 32), "caption": ([13, 7, 1, 20, 9, 16, 17, 13], 3, 64),
             "context": ([77, 1, 77, 40], 2, 64), "odd40": ([13, 5, 32, 33], 2, 40),
             "odd80": ([13, 18, 77], 2, 80), "head128": ([5, 30], 1, 128), "long": ([130, 300], 1, 32),
             "tiles64": ([1, 16, 17, 77, 130], 5, 64), "tiles96": ([32, 33, 48, 49], 1, 96),
             "head8": ([16, 40, 3], 2, 8)}
    for name, (lengths, heads, size) in cases.items():
        for type_name in TYPES:
            rows = sum(lengths)
            qkv = numbers(10, rows * 3 * heads * size, 1.5).view(rows, 3, heads, size)
            dout = numbers(11, rows * heads * size).to(TYPES[type_name]).view(rows, heads, size)

            def compute(dtype, x):
                out, start = [], 0
                for n in lengths:
                    q, k, v = x[start:start + n].permute(1, 2, 0, 3).unsqueeze(1)
                    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                    out.append(y[0].transpose(0, 1))
                    start += n
                out = torch.cat(out)
                out.backward(dout.to(dtype))
                return out, x.grad

            (out, grad), (out64, grad64) = twice(compute, type_name, qkv)
            record("attention.out", name, type_name, out, out64)
            record("attention.dqkv", name, type_name, grad, grad64)


def attention_full():
    cases = {"one": (1, 1, 1, 64), "patches50": (2, 50, 3, 64), "patches257": (1, 257, 2, 64),
             "patches577": (1, 577, 1, 64), "odd40": (3, 17, 2, 40), "head128": (1, 129, 1, 128),
             "head80": (2, 65, 1, 80), "head96": (1, 64, 2, 96), "head32": (1, 33, 5, 32)}
    for name, (pictures, tokens, heads, size) in cases.items():
        for type_name in TYPES:
            qkv = numbers(20, pictures * tokens * 3 * heads * size, 1.5)
            qkv = qkv.view(pictures, tokens, 3, heads, size)

            def compute(dtype, x):
                q, k, v = x.permute(2, 0, 3, 1, 4)
                return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)

            out, out64 = twice(compute, type_name, qkv)
            record("attention_full.out", name, type_name, out, out64)


def layernorm():
    """fp32 inside, as the residual stream is; T outside."""
    for name, (rows, width) in {"one": (1, 32), "odd": (7, 100), "base": (33, 768),
                                "large": (130, 1024)}.items():
        for type_name, dtype in TYPES.items():
            x = numbers(30, rows * width, 2).view(rows, width)
            weight, bias = numbers(31, width, 0.5), numbers(32, width, 0.5)
            dy = numbers(33, rows * width).to(dtype).view(rows, width)

            def compute(inner, x, weight, bias):
                y = F.layer_norm(x, (width,), weight, bias, 1e-5)
                y.backward(dy.to(inner))
                return y.to(dtype) if inner == torch.float32 else y, x.grad, weight.grad, bias.grad

            both = twice(compute, "NC_FLOAT32", x, weight, bias)
            for output, a, b in zip(("y", "dx", "dweight", "dbias"), *both):
                record(f"layernorm.{output}", name, type_name, a, b)


def activation():
    functions = {"quick_gelu": lambda x: x * torch.sigmoid(1.702 * x), "gelu": F.gelu,
                 "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}
    for function, f in functions.items():
        for name, count in {"one": 1, "odd": 3 * 37, "block": 129 * 512}.items():
            for type_name in TYPES:
                x = numbers(40, count, 3)
                dy = numbers(41, count).to(TYPES[type_name])

                def compute(dtype, x):
                    y = f(x)
                    y.backward(dy.to(dtype))
                    return y, x.grad

                (y, dx), (y64, dx64) = twice(compute, type_name, x)
                record(f"{function}.y", name, type_name, y, y64)
                record(f"{function}.dx", name, type_name, dx, dx64)


def normalize():
    for name, (rows, width) in {"one": (1, 64), "odd": (9, 97), "base": (65, 512)}.items():
        x, dy = numbers(50, rows * width).view(rows, width), numbers(51, rows * width).view(rows, width)

        def compute(dtype, x):
            y = x / x.norm(dim=-1, keepdim=True)
            y.backward(dy.to(dtype))
            return y, x.grad

        (y, dx), (y64, dx64) = twice(compute, "NC_FLOAT32", x)
        record("normalize.y", name, "NC_FLOAT32", y, y64)
        record("normalize.dx", name, "NC_FLOAT32", dx, dx64)


def infonce():
    """fp32 inside in both precisions. Pairs, width, contradictions, pictures (0: all differ),
    the pull of a caption on its picture."""
    for name, (pairs, width, extras, pictures, pull) in {
            "few": (5, 64, 0, 0, 0.5), "odd": (37, 100, 9, 11, 0.5), "rows": (300, 64, 0, 0, 0.5),
            "columns": (1100, 32, 400, 500, 0.5), "strips": (400, 512, 0, 0, 0.125),
            "ragged": (390, 100, 20, 0, 0.5), "wide640": (130, 640, 3, 0, 0.125),
            "wide768": (257, 768, 40, 60, 0.125), "wide1024": (33, 1024, 0, 12, 0.125)}.items():
        for type_name, dtype in TYPES.items():
            def rounded(seed, count):
                x = numbers(seed, count * width).view(count, width)
                return (x.double() / x.double().norm(dim=-1, keepdim=True)).float().to(dtype).float()

            text, image, extra = rounded(60, pairs), rounded(61, pairs), rounded(62, extras)
            image = (image + pull * text).to(dtype).float()
            scale = torch.tensor(4.0)
            group = torch.arange(pairs) * 7 % pictures if pictures else torch.arange(pairs)
            masked = (group[:, None] == group[None]) & ~torch.eye(pairs, dtype=torch.bool)
            place = torch.arange(extras) * 5 % pairs

            def compute(inner, text, extra, scale):
                s = scale.exp() * text @ image.to(inner).T
                s = s.masked_fill(masked, -math.inf)
                e = torch.full((extras, pairs), -math.inf, dtype=inner)
                if extras:
                    own = scale.exp() * (extra * image.to(inner)[place]).sum(-1)
                    e = e.index_put((torch.arange(extras), place), own)
                target = torch.arange(pairs)
                loss = (F.cross_entropy(s, target) + F.cross_entropy(torch.cat([s, e]).T, target)) / 2
                loss.backward()
                return (loss, text.grad, scale.grad) + ((extra.grad,) if extras else ())

            both = twice(compute, "NC_FLOAT32", text, extra, scale)
            for output, a, b in zip(("loss", "dtext", "dlogit_scale", "dextra"), *both):
                if output in ("loss", "dlogit_scale"): # sums of scores: relative to a score
                    a, b = a.double() + math.exp(4), b + math.exp(4)
                record(f"infonce.{output}", name, type_name, a, b)


def adamw():
    count = 1000
    for name, decay in {"plain": 0.0, "decay": 0.01}.items():
        def compute(dtype, start):
            p = start.detach().clone().requires_grad_()
            # the same operations as with fused, one by one
            optimizer = torch.optim.AdamW([p], lr=1e-3, betas=(0.9, 0.999), eps=1e-8,
                                          weight_decay=decay, foreach=False, fused=False)
            for step in range(1, 6):
                p.grad = numbers(70 + step, count, 0.01).to(dtype)
                optimizer.step()
            state = optimizer.state[p]
            return p.detach().double() - start.detach().double(), state["exp_avg"], state["exp_avg_sq"]

        both = twice(compute, "NC_FLOAT32", numbers(70, count))
        for output, a, b in zip(("change", "first", "second"), *both):
            record(f"adamw.{output}", name, "NC_FLOAT32", a, b)


for part in (attention, attention_full, layernorm, activation, normalize, infonce, adamw):
    part()
print("/* PyTorch's own error on the inputs of these tests, relative to the root mean square of what")
print(f" * is expected. Made by measure_torch_error.py with PyTorch {torch.__version__.split('+')[0]}. */")
print("static const struct torch_error {\n    const char *output, *name;\n    enum nc_type type;")
print("    double mean, worst; /* root of the mean square, largest */\n} torch_errors[] = {")
print("\n".join(LINES))
print("};")
