//! The one low-pass kernel behind every pair of rates.
//!
//! A continuous, symmetric impulse response h(t), with t in periods of the lower of the two rates and
//! zero from |t| = [`HALF_WIDTH`] on. Filters for any pair are samples of it, so all pairs share its
//! figures: gain within 0.02 dB up to 0.9 of the lower Nyquist, at most -103 dB from 1.1 of it on, a
//! delay of 24 periods of the lower rate (1.5 ms at 16 kHz). Why these: docs/decisions/0002-resampler.md.

/// Half the support of the kernel, in periods of the lower rate. It is also the delay.
pub(super) const HALF_WIDTH: usize = 24;

/// The kernel's frequency response at k / (2 · 24) of the lower rate.
///
/// Made by design_kernel.py beside this file: the smallest stop-band gain that a linear program finds
/// with the pass band held within 1 ± 0.00115.
const RESPONSE: [f64; 37] = [
    0.998850000000,
    1.001139226492,
    0.998907139397,
    1.001015798190,
    0.999080338754,
    1.000790385526,
    0.999358709906,
    1.000480805073,
    0.999702654007,
    1.000109191135,
    1.000077279553,
    0.999729377992,
    1.000450853808,
    0.999386976450,
    1.000765873198,
    0.999114869230,
    1.000979015224,
    0.998955051198,
    1.001083250491,
    0.998917290660,
    1.000988958231,
    0.999667637515,
    0.976603698555,
    0.719620232967,
    0.280966076127,
    0.040177306518,
    0.000721727117,
    0.000004519150,
    0.000005713559,
    -0.000005095719,
    0.000002112655,
    0.000000354502,
    -0.000001969243,
    0.000002941792,
    -0.000003409923,
    0.000003406219,
    -0.000002746525,
];

/// h(t): (c0 / 2 + Σ ck cos(π k t / 24)) / 24, with Clenshaw's recurrence for the sum.
pub(super) fn impulse_response(t: f64) -> f64 {
    let half_width = HALF_WIDTH as f64;
    if t.abs() >= half_width {
        return 0.0;
    }
    let cosine = (std::f64::consts::PI * t / half_width).cos();
    let (mut a, mut b) = (0.0, 0.0);
    for &c in RESPONSE[1..].iter().rev() {
        (a, b) = (c + 2.0 * cosine * a - b, a);
    }
    (RESPONSE[0] / 2.0 + cosine * a - b) / half_width
}
