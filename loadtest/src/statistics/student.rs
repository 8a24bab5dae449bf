//! Student's t: how much wider an interval must be because it rests on few independent units.

/// 97.5 % quantiles for 1 to 10 degrees of freedom.
const FEW: [f64; 10] = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281];
/// The same quantile of the normal distribution.
pub const Z: f64 = 1.959_964;

/// 97.5 % quantile of Student's t; infinite without a degree of freedom.
pub fn t(freedom: usize) -> f64 {
    if freedom == 0 {
        return f64::INFINITY;
    }
    FEW.get(freedom - 1).copied().unwrap_or_else(|| {
        // Cornish-Fisher expansion: within 0.001 from 10 degrees on (Abramowitz, Stegun 1964, 26.7.5).
        let v = freedom as f64;
        let (z, z3, z5) = (Z, Z.powi(3), Z.powi(5));
        z + (z3 + z) / (4.0 * v) + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * v * v)
    })
}

/// Mean and the unbiased variance; NaN where there are too few values.
pub fn mean_variance(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let variance = if values.len() < 2 { f64::NAN } else { squares / (count - 1.0) };
    (if values.is_empty() { f64::NAN } else { mean }, variance)
}
