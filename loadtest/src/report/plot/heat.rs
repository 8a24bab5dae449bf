//! Latencies over time: the darker, the more requests.

use super::{Attribute, Markup, Px, WIDTH, picture};
use crate::report::number;
use crate::results::Heat;

const HEIGHT: f64 = 250.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 44.0;
/// More are put together.
const COLUMNS_MAX: usize = 120;
const BANDS_MAX: usize = 40;
const LABELS: usize = 6;

/// Draws one target's; nothing where there is nothing to draw.
pub fn heat(html: &mut Markup, label: &str, heat: &Heat) {
    let cells = Cells::of(heat);
    let most = cells.counts.iter().flatten().copied().max().unwrap_or(0);
    if most == 0 {
        return;
    }
    picture(html, label, HEIGHT, |svg| {
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let size = (width / cells.counts.len() as f64, height / cells.ends_us.len() as f64);
        for (column, counts) in cells.counts.iter().enumerate() {
            for (band, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let share = (*count as f64 + 1.0).ln() / (most as f64 + 1.0).ln();
                cell(svg, (column, band), size, 0.12 + 0.88 * share);
            }
        }
        let seconds = cells.counts.len() as f64 * cells.columns_each as f64 * f64::from(heat.column_ms) / 1_000.0;
        labels(svg, &cells.ends_us, size.1, seconds);
    });
}

fn cell(svg: &mut Markup, (column, band): (usize, usize), (width, height): (f64, f64), opacity: f64) {
    let (x, y) = (LEFT + column as f64 * width, HEIGHT - BOTTOM - (band + 1) as f64 * height);
    let (x, y, width, height) = (Px(x), Px(y), Px(width), Px(height));
    let opacity = format!("{opacity:.2}");
    let place: [Attribute<'_>; 4] = [("x", &x), ("y", &y), ("width", &width), ("height", &height)];
    svg.empty("rect", &[("class", &"heat"), place[0], place[1], place[2], place[3], ("opacity", &opacity)]);
}

fn labels(svg: &mut Markup, ends_us: &[f64], cell_height: f64, seconds: f64) {
    let bottom = HEIGHT - BOTTOM;
    for band in (0..ends_us.len()).step_by(ends_us.len().div_ceil(LABELS).max(1)) {
        let text = ends_us.get(band).map_or_else(String::new, |end| number::axis_latency(rounded(*end)));
        let y = bottom - (band as f64 + 0.5) * cell_height + 4.0;
        svg.element("text", &[("class", &"tick end"), ("x", &Px(LEFT - 6.0)), ("y", &Px(y))], &text);
    }
    let width = WIDTH - LEFT - RIGHT;
    for step in 0..=4_u8 {
        let share = f64::from(step) / 4.0;
        let text = format!("{} s", number::axis(rounded(seconds * share)));
        let x = Px((LEFT + width * share).min(WIDTH - 16.0));
        svg.element("text", &[("class", &"tick mid"), ("x", &x), ("y", &Px(bottom + 16.0))], &text);
    }
    svg.element("text", &[("class", &"axis"), ("x", &"4"), ("y", &"12")], "latency up to");
    let middle = Px(LEFT + width / 2.0);
    svg.element("text", &[("class", &"axis mid"), ("x", &middle), ("y", &Px(HEIGHT - 8.0))], "time");
    let frame = format!("M{} {}V{}H{}", Px(LEFT), Px(TOP), Px(bottom), Px(WIDTH - RIGHT));
    svg.empty("path", &[("class", &"frame"), ("d", &frame)]);
}

/// Two significant digits.
fn rounded(value: f64) -> f64 {
    let unit = 10_f64.powf(value.abs().log10().floor() - 1.0);
    if unit.is_finite() && unit > 0.0 { (value / unit).round() * unit } else { 0.0 }
}

/// The part of the plane where something is, in few enough cells.
struct Cells {
    /// By column, then by band.
    counts: Vec<Vec<u64>>,
    /// Columns of the file in each.
    columns_each: usize,
    /// Upper ends of the bands, microseconds.
    ends_us: Vec<f64>,
}

impl Cells {
    fn of(heat: &Heat) -> Self {
        let used = |band: &usize| heat.columns.iter().any(|column| column.get(*band).is_some_and(|count| *count > 0));
        let bands = 0..heat.bands_us.len();
        let first = bands.clone().find(used).unwrap_or(0);
        let last = bands.rev().find(used).unwrap_or(0);
        let columns_each = heat.columns.len().div_ceil(COLUMNS_MAX).max(1);
        let bands_each = (last + 1 - first).div_ceil(BANDS_MAX).max(1);
        let starts: Vec<usize> = (first..=last).step_by(bands_each).collect();
        let cell = |columns: &[Vec<u64>], band: usize| {
            let of = |column: &Vec<u64>| column.iter().skip(band).take(bands_each).fold(0, add);
            columns.iter().map(of).fold(0, u64::saturating_add)
        };
        let column = |columns: &[Vec<u64>]| starts.iter().map(|band| cell(columns, *band)).collect();
        let end = |band: &usize| heat.bands_us.get((band + bands_each).min(last + 1) - 1).copied();
        Self {
            counts: heat.columns.chunks(columns_each).map(column).collect(),
            columns_each,
            ends_us: starts.iter().filter_map(end).collect(),
        }
    }
}

fn add(sum: u64, count: &u64) -> u64 {
    sum.saturating_add(*count)
}
