//! Axes: where a value lies, and which values are written beside it.

/// How values are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Log,
    /// Percentiles (0 to 100), as far apart as their nines: −log10(1 − p).
    Percentile,
}

/// One axis with its range.
#[derive(Clone, Debug)]
pub struct Axis {
    pub title: String,
    scale: Scale,
    low: f64,
    high: f64,
    show: fn(f64) -> String,
}

/// Ticks at most.
const TICKS_MAX: usize = 8;

impl Axis {
    /// Spans the finite `values` (on a logarithmic scale those above 0); something sensible where there are none.
    pub fn over(title: &str, scale: Scale, show: fn(f64) -> String, values: impl Iterator<Item = f64>) -> Self {
        let usable = |value: &f64| value.is_finite() && value.abs() < 1e30 && (scale != Scale::Log || *value > 1e-9);
        let (low, high) = values
            .filter(usable)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match (low <= high, scale) {
            (false, Scale::Log) => (1.0, 10.0),
            (false, _) => (0.0, 1.0),
            (true, Scale::Log) => padded_log(low, high),
            (true, Scale::Linear) => (low, high + (high - low) * 0.04),
            (true, Scale::Percentile) => (low.clamp(0.0, 50.0), high.clamp(90.0, 100.0)),
        };
        let mut axis = Self { title: title.to_owned(), scale, low, high, show };
        if axis.raw(axis.high) - axis.raw(axis.low) <= 0.0 {
            axis.high = if axis.high == 0.0 { 1.0 } else { axis.high + axis.high.abs() * 0.5 };
        }
        axis
    }

    /// As [`Axis::over`], with 0 and these values in it.
    pub fn from_zero(title: &str, show: fn(f64) -> String, values: impl Iterator<Item = f64>) -> Self {
        Self::over(title, Scale::Linear, show, values.chain([0.0]))
    }

    /// From 0 (low end) to 1 (high end); `None` for what the axis cannot show.
    pub fn place(&self, value: f64) -> Option<f64> {
        let (low, high) = (self.raw(self.low), self.raw(self.high));
        let place = (self.raw(value) - low) / (high - low);
        (place.is_finite()).then(|| place.clamp(-0.01, 1.01))
    }

    /// Values to be written, with their text, rising.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let values = match self.scale {
            Scale::Linear => linear(self.low, self.high),
            Scale::Log => logarithmic(self.low, self.high),
            Scale::Percentile => vec![50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999],
        };
        let within = |value: &f64| *value >= self.low && *value <= self.high;
        values.into_iter().filter(within).map(|value| (value, (self.show)(value))).collect()
    }

    fn raw(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
            // The largest latency of all has no place on this scale: one beyond the last percentile that is told.
            Scale::Percentile => -(1.0 - value.min(99.9999) / 100.0).log10(),
        }
    }
}

/// A bit of room, and at least half a decade.
fn padded_log(low: f64, high: f64) -> (f64, f64) {
    let (low, high) = (low / 1.15, high * 1.15);
    let half = 10_f64.powf(0.5);
    if high / low >= half {
        return (low, high);
    }
    let middle = (low * high).sqrt();
    (middle / half.sqrt(), middle * half.sqrt())
}

fn linear(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|by| by * decade).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * decade);
    let first = (low / step).ceil();
    (0..TICKS_MAX).map(|at| (first + at as f64) * step).collect()
}

fn logarithmic(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let digits: &[f64] = if decades < 1.5 {
        &[1.0, 2.0, 3.0, 5.0]
    } else if decades < 3.0 {
        &[1.0, 3.0]
    } else {
        &[1.0]
    };
    let every = (decades / TICKS_MAX as f64).ceil().max(1.0) as usize;
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (first..=last)
        .step_by(every)
        .flat_map(|decade| digits.iter().map(move |digit| digit * 10_f64.powi(decade)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Axis, Scale};
    use crate::report::number;

    fn axis(scale: Scale, values: &[f64]) -> Axis {
        Axis::over("x", scale, number::axis, values.iter().copied())
    }

    #[test]
    fn values_lie_where_their_scale_says() {
        let linear = axis(Scale::Linear, &[0.0, 100.0]);
        assert!((linear.place(52.0).unwrap() - 0.5).abs() < 0.01);
        let log = axis(Scale::Log, &[1.0, 1e4]);
        assert!((log.place(100.0).unwrap() - 0.5).abs() < 0.01);
        assert_eq!(log.place(0.0), None);
        let nines = axis(Scale::Percentile, &[0.0, 99.99]);
        assert!((nines.place(99.0).unwrap() - 0.5).abs() < 0.01);
        assert!(nines.place(100.0).unwrap() <= 1.01);
    }

    #[test]
    fn absurd_values_give_an_axis_all_the_same() {
        for scale in [Scale::Linear, Scale::Log, Scale::Percentile] {
            for values in [
                vec![],
                vec![f64::NAN],
                vec![f64::INFINITY, 1.0],
                vec![0.0],
                vec![-5.0, -5.0],
                vec![1e300, 1e-300],
                vec![1e29, 1e-8],
                vec![3.0, 3.0],
            ] {
                let axis = axis(scale, &values);
                let ticks = axis.ticks();
                assert!(ticks.len() <= 32, "{scale:?} {values:?}: {} ticks", ticks.len());
                assert!(ticks.iter().all(|(value, _)| axis.place(*value).is_some()), "{scale:?} {values:?}");
            }
        }
    }

    #[test]
    fn ticks_are_round() {
        let texts = |axis: Axis| axis.ticks().into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(axis(Scale::Linear, &[0.0, 98.0])), ["0", "25", "50", "75", "100"]);
        assert_eq!(texts(axis(Scale::Log, &[20.0, 900.0])), ["30", "100", "300", "1k"]);
    }
}
