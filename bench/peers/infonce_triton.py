"""Symmetric InfoNCE over tiles in Triton: the peer of nclip's own, as one would write it there.

Forward: each program owns a block of rows, walks the columns with a running log-sum-exp, and
never keeps a tile; columns get theirs by a second walk with the sides exchanged. Backward: each
program owns a block of captions, makes its tiles once more and accumulates their products with
the pictures. Only captions get a gradient, as the pictures are frozen.

`TRITON_INTERPRET=1 python3 infonce_triton.py` compares it with PyTorch's own on the processor.
"""
import math

import torch
import triton
import triton.language as tl


@triton.jit
def lse_kernel(a, b, scale, lse, positive, count, WIDTH: tl.constexpr, K: tl.constexpr,
               ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    most = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    own = tl.zeros((ROWS,), tl.float32)
    for start in range(0, count, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        score = tl.zeros((ROWS, COLUMNS), tl.float32)
        for k in range(0, WIDTH, K):
            at = k + tl.arange(0, K)
            x = tl.load(a + row[:, None] * WIDTH + at[None], mask=row[:, None] < count, other=0)
            y = tl.load(b + column[:, None] * WIDTH + at[None], mask=column[:, None] < count, other=0)
            score += tl.dot(x, tl.trans(y))
        score = tl.where(column[None] < count, score * scale, -float("inf"))
        own += tl.sum(tl.where(column[None] == row[:, None], score, 0), 1)
        larger = tl.maximum(most, tl.max(score, 1))
        total = total * tl.exp(most - larger) + tl.sum(tl.exp(score - larger[:, None]), 1)
        most = larger
    tl.store(lse + row, most + tl.log(total), mask=row < count)
    tl.store(positive + row, own, mask=row < count)


@triton.jit
def backward_kernel(text, image, scale, row_lse, column_lse, dtext, count, WIDTH: tl.constexpr,
                    K: tl.constexpr, PARTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """PARTS parts of K numbers make a row: a register tile each."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, K)
    rows = tl.load(row_lse + row, mask=row < count, other=0)
    first = tl.zeros((ROWS, K), tl.float32)
    second = tl.zeros((ROWS, K), tl.float32)
    third = tl.zeros((ROWS, K), tl.float32)
    for start in range(0, count, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        columns = tl.load(column_lse + column, mask=column < count, other=0)
        score = tl.zeros((ROWS, COLUMNS), tl.float32)
        for part in tl.static_range(PARTS):
            x = tl.load(text + row[:, None] * WIDTH + part * K + at[None], mask=row[:, None] < count, other=0)
            y = tl.load(image + column[:, None] * WIDTH + part * K + at[None], mask=column[:, None] < count, other=0)
            score += tl.dot(x, tl.trans(y))
        score *= scale
        g = tl.exp(score - rows[:, None]) + tl.exp(score - columns[None])
        g = tl.where(row[:, None] == column[None], g - 2, g)
        g = tl.where(column[None] < count, g * (scale / (2 * count)), 0).to(text.dtype.element_ty)
        for part in tl.static_range(PARTS):
            y = tl.load(image + column[:, None] * WIDTH + part * K + at[None], mask=column[:, None] < count, other=0)
            product = tl.dot(g, y)
            if part == 0:
                first += product
            elif part == 1:
                second += product
            else:
                third += product
    to = dtext + row[:, None] * WIDTH + at[None]
    tl.store(to, first, mask=row[:, None] < count)
    if PARTS > 1:
        tl.store(to + K, second, mask=row[:, None] < count)
    if PARTS > 2:
        tl.store(to + 2 * K, third, mask=row[:, None] < count)


def infonce(text, image, scale):
    """text, image: [count, 256, 512 or 768], normalised; scale: exp(logit_scale). Loss, dtext."""
    count, width = text.shape
    new = lambda: torch.empty(count, device=text.device, dtype=torch.float32)
    row_lse, column_lse, positive = new(), new(), new()
    shape = dict(WIDTH=width, K=64, ROWS=128, COLUMNS=128, num_warps=8, num_stages=3)
    grid = (triton.cdiv(count, 128),)
    lse_kernel[grid](image, text, scale, column_lse, positive, count, **shape)
    lse_kernel[grid](text, image, scale, row_lse, positive, count, **shape)
    dtext = torch.empty_like(text, dtype=torch.float32)
    backward_kernel[(triton.cdiv(count, 64),)](text, image, scale, row_lse, column_lse, dtext, count,
                                               WIDTH=width, K=256, PARTS=width // 256, ROWS=64,
                                               COLUMNS=32, num_warps=16, num_stages=1)
    return (row_lse + column_lse - 2 * positive).mean() / 2, dtext


if __name__ == "__main__":
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    text, image = (torch.nn.functional.normalize(torch.randn(150, 768, device=device), dim=-1)
                   for _ in range(2))
    text.requires_grad_()
    scale = math.exp(2)
    scores = scale * text @ image.T
    target = torch.arange(150, device=device)
    loss = (torch.nn.functional.cross_entropy(scores, target) +
            torch.nn.functional.cross_entropy(scores.T, target)) / 2
    loss.backward()
    got, dtext = infonce(text.detach(), image, scale)
    print(f"loss {got:.6f}, PyTorch's {loss:.6f}; gradient off by",
          f"{(dtext - text.grad).norm() / text.grad.norm():.2e}")
    assert abs(got - loss) < 1e-2 and (dtext - text.grad).norm() < 1e-2 * text.grad.norm()
