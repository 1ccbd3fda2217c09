// GELU by the error function, x Phi(x), for results that are rounded to 16 bits.
// Not here: where it is applied.
#pragma once

/// 2 to the power of x, within 2^-22; results below the normal range are zero.
__device__ __forceinline__ float power_of_two(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

/// x Phi(x) = max(x, 0) - |x| Phi(-|x|). log2 Phi(-a) is smooth, and a polynomial of degree 5 gives Phi(-a) within 5e-5 of
/// itself up to a = 3, within 1.3e-4 up to 4: |error| <= 2.5e-5 min(|x|, 1), and the negative side keeps its digits. Beyond 8
/// both are zero (the polynomial falls for every a >= 0). 8 issue slots, one of them the special unit's.
/// Coefficients: minimax over [0, 8], weighted so that what is far below 1e-6 counts little, by Lawson's algorithm.
__device__ __forceinline__ float gelu(float x) {
    const float a = fabsf(x);
    float power = -3.776103e-4f;
    power = fmaf(power, a, 6.3555543e-3f);
    power = fmaf(power, a, -4.9918e-2f);
    power = fmaf(power, a, -0.46199018f);
    power = fmaf(power, a, -1.1500825f);
    power = fmaf(power, a, -1.0000699f);
    return fmaf(-a, power_of_two(power), fmaxf(x, 0.0f));
}
