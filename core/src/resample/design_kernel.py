#!/usr/bin/env python3
"""Prints the constants of kernel.rs: the frequency response of the resampling kernel at k / (2 D).

A kernel h(t) of support (-D, D), t in periods of the lower rate, written as a cosine series
    h(t) = (c_0 / 2 + sum_k c_k cos(pi k t / D)) / D
has H(k / (2 D)) = c_k exactly: the coefficients are samples of its own frequency response.
A linear program picks them so that the largest gain above 0.55 of the lower rate is as small as possible
while the gain up to 0.45 stays within 1 +- RIPPLE and h(+-D) = 0 (then H falls with the cube of f).

Needs numpy and scipy (HiGHS). Usage: design_kernel.py
"""
import numpy as np
from scipy.optimize import linprog

D, K, RIPPLE = 24, 36, 1.15e-3
PASS, STOP, TOP, GRID = 0.45, 0.55, 8.0, 12  # band edges, end of the grid, points per 1 / (2 D)

k = np.arange(K + 1)


def response(f):
    u = 2 * D * f[:, None]
    return np.where(k == 0, np.sinc(u), np.sinc(u - k) + np.sinc(u + k))


step = 1 / (2 * D * GRID)
passband = response(np.r_[np.arange(0, PASS, step), PASS])
stopband = response(np.r_[STOP, np.arange(STOP, TOP, step)]) * 1e6
base = (k <= D).astype(float)  # the unknowns are small differences from an ideal low-pass
left, right = 1 - passband @ base, -(stopband @ base)
zero, one = np.zeros((len(passband), 1)), np.ones((len(stopband), 1))
end = (-1.0) ** k * np.where(k == 0, 0.5, 1) * 1e3
fit = linprog(
    np.r_[np.zeros(K + 1), 1],
    A_ub=np.block([[passband * 1e3, zero], [-passband * 1e3, zero], [stopband, -one], [-stopband, -one]]),
    b_ub=np.r_[(left + RIPPLE) * 1e3, (RIPPLE - left) * 1e3, right, -right],
    A_eq=np.r_[end, 0][None],
    b_eq=[-(end @ base)],
    bounds=[(None, None)] * (K + 2),
    method="highs",
)
assert fit.status == 0, fit.message
for c in base + fit.x[:-1]:
    print(f"    {c:.12f},")
