#!/usr/bin/env python3
"""Fits the polynomials of kernels/cpu/vector_math.h and prints them as C constants.

    python3 fit_vector_math.py        (needs mpmath)

Each fit is close to the minimax one: least squares on Chebyshev points, reweighted by
Lawson's algorithm until the error is level. Coefficients are rounded to floats from the
lowest power up, and what is left to fit is fitted again, so that their rounding costs little.
"""
import struct

from mpmath import mp, mpf, matrix, lu_solve, exp, erf, erfc, log, cos, pi

mp.dps = 40


def to_float(value):
    return mpf(struct.unpack("f", struct.pack("f", float(value)))[0])


def points(low, high, count):
    return [(low + high) / 2 + (high - low) / 2 * cos(pi * (i + mpf(1) / 2) / count)
            for i in range(count)]


def lawson(basis, target, scale, nodes, rounds=60):
    """Coefficients c that keep max |scale(x) (sum c_k basis_k(x) - target(x))| small."""
    rows = [[scale(x) * b(x) for b in basis] for x in nodes]
    wanted = [scale(x) * target(x) for x in nodes]
    weight = [mpf(1) / len(nodes)] * len(nodes)
    best = None
    size = len(basis)
    for _ in range(rounds):
        normal, right = matrix(size, size), matrix(size, 1)
        for w, row, value in zip(weight, rows, wanted):
            for i in range(size):
                right[i] += w * row[i] * value
                for j in range(size):
                    normal[i, j] += w * row[i] * row[j]
        c = lu_solve(normal, right)
        error = [abs(sum(c[i] * row[i] for i in range(size)) - value)
                 for row, value in zip(rows, wanted)]
        if best is None or max(error) < best[0]:
            best = (max(error), c)
        weight = [w * (e + mpf(10) ** -30) for w, e in zip(weight, error)]
        total = sum(weight)
        weight = [w / total for w in weight]
    return best


def fit(name, powers, target, scale, low, high):
    nodes = points(mpf(low), mpf(high), 120)
    fixed, remaining = [], list(powers)

    def left(x):
        return target(x) - sum(c * x ** p for c, p in fixed)

    while remaining:
        basis = [lambda x, p=p: x ** p for p in remaining]
        error, c = lawson(basis, left, scale, nodes)
        fixed.append((to_float(c[0]), remaining.pop(0)))
    print(f"/* {name}: error {float(error):.2e} */")
    for c, p in fixed:
        print(f"    x^{p}: {float(c).hex()}f  {float(c):.9g}")


half_log2 = float(log(2) / 2) * 1.0001
fit("exp(r) = 1 + r + r^2 q(r), q", range(5), lambda r: (exp(r) - 1 - r) / r ** 2 if r else mpf(1) / 2,
    lambda r: r ** 2 / exp(r) + mpf(10) ** -12, -half_log2, half_log2)
fit("erf(x) = x + x p(x^2), p, |x| < 0.93", range(6),
    lambda s: erf(mp.sqrt(s)) / mp.sqrt(s) - 1, lambda s: mp.sqrt(s) / erf(mp.sqrt(s)),
    1e-8, 0.93 ** 2)
fit("erf(x) = 1 - exp(x q(x)), q, 0.93 <= x < 4", range(7), lambda x: log(erfc(x)) / x,
    lambda x: x * erfc(x), 0.92, 4.0)
fit("log(1 + x) = x + x^2 q(x), q, 0 <= x <= 1", range(9), lambda x: (log(1 + x) - x) / x ** 2,
    lambda x: x ** 2 / log(1 + x), 1e-6, 1)
