//! Points of curves and columns of heat maps, from what the load generator gave.

use hdrhistogram::Histogram;

use super::{CurvePoint, Heat};
use crate::load::{OVER_TIME, Slice};

/// Bands of latency for each factor of ten.
const BANDS: i32 = 10;
/// The first band ends at 10 µs, the last holds everything above.
const DECADES: std::ops::RangeInclusive<i32> = 1..=7;

impl CurvePoint {
    /// What came of one rate. Of a slice with errors or refusals only what was answered as expected counts.
    pub fn of(rate: f64, slice: &Slice) -> Self {
        let expected = slice.requests.saturating_sub(slice.refused) as f64;
        Self {
            rate,
            throughput: expected / slice.elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            p50_us: slice.latency_us(0.5),
            p99_us: slice.latency_us(0.99),
            p999_us: slice.latency_us(0.999),
        }
    }
}

impl Heat {
    /// One column for each histogram (nanoseconds) of [`Slice::over_time`].
    pub fn of(target: impl Into<String>, work: impl Into<String>, over_time: &[Histogram<u64>]) -> Self {
        let decades = f64::from(*DECADES.start())..=f64::from(*DECADES.end());
        let count = ((decades.end() - decades.start()) * f64::from(BANDS)) as i32;
        let end = |band: i32| 10_f64.powf(decades.start() + f64::from(band) / f64::from(BANDS));
        let bands_us: Vec<f64> = (0..=count).map(end).collect();
        let column = |histogram: &Histogram<u64>| {
            let mut counts = vec![0; bands_us.len()];
            for seen in histogram.iter_recorded() {
                let us = seen.value_iterated_to() as f64 / 1_000.0;
                let band = bands_us.iter().position(|end| us <= *end).unwrap_or(bands_us.len() - 1);
                if let Some(count) = counts.get_mut(band) {
                    *count += seen.count_at_value();
                }
            }
            counts
        };
        let columns = over_time.iter().map(column).collect();
        let column_ms = u32::try_from(OVER_TIME.as_millis()).unwrap_or(u32::MAX);
        Self { target: target.into(), work: work.into(), column_ms, bands_us, columns }
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::Heat;

    #[test]
    fn each_request_is_in_the_band_of_its_latency() {
        let mut histogram = Histogram::<u64>::new(2).unwrap();
        for latency_ns in [5_000, 5_000, 300_000, 90_000_000_000] {
            histogram.record(latency_ns).unwrap();
        }
        let heat = Heat::of("a", "b", &[histogram, Histogram::new(2).unwrap()]);
        assert_eq!(heat.columns.len(), 2);
        assert_eq!(heat.columns[0].iter().sum::<u64>(), 4);
        assert_eq!((heat.columns[0][0], heat.columns[0].last().copied()), (2, Some(1)));
        let band = heat.columns[0].iter().position(|count| *count == 1).unwrap();
        assert!(heat.bands_us[band] >= 300.0 && heat.bands_us[band - 1] < 300.0);
        assert_eq!(heat.columns[1].iter().sum::<u64>(), 0);
    }
}
