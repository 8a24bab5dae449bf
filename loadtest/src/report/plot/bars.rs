//! Bars, or points against a rule, each with its interval.

use super::{Attribute, Axis, Markup, Px, Style, WIDTH, picture};
use crate::report::escape::cut;
use crate::report::number;
use crate::statistics::Estimate;

const LEFT: f64 = 8.0;
const RIGHT: f64 = 14.0;
const GROUP_HEIGHT: f64 = 24.0;
const BAR_HEIGHT: f64 = 36.0;
const BOTTOM: f64 = 40.0;

/// One row.
pub struct Bar {
    pub name: String,
    pub style: Style,
    pub estimate: Estimate,
    /// Not to be compared with the others.
    pub unranked: bool,
}

/// Groups of bars over one axis.
pub struct Bars {
    pub label: String,
    pub title: String,
    pub unit: String,
    /// Points around this value instead of bars from zero.
    pub rule: Option<f64>,
    pub groups: Vec<(String, Vec<Bar>)>,
}

impl Bars {
    pub fn draw(&self, html: &mut Markup) {
        let bars = || self.groups.iter().flat_map(|(_, bars)| bars);
        let ends = bars().flat_map(|Bar { estimate: Estimate { value, low, high }, .. }| [*value, *low, *high]);
        let axis = match self.rule {
            Some(rule) => {
                let spread: Vec<f64> = ends.filter(|end| end.is_finite()).chain([rule]).collect();
                let (low, high) = spread.iter().fold((rule, rule), |(low, high), end| (low.min(*end), high.max(*end)));
                let room = ((high - low) * 0.08).max(rule.abs() * 0.01);
                Axis::over("", super::Scale::Linear, number::axis, [low - room, high + room].into_iter())
            }
            None => Axis::from_zero("", number::axis, ends),
        };
        let height = self.groups.len() as f64 * GROUP_HEIGHT + bars().count() as f64 * BAR_HEIGHT + BOTTOM;
        picture(html, &self.label, height, |svg| {
            self.frame(svg, &axis, height);
            let mut y = 0.0;
            for (name, bars) in &self.groups {
                svg.element("text", &[("class", &"group"), ("x", &Px(LEFT)), ("y", &Px(y + 16.0))], &cut(name, 50));
                y += GROUP_HEIGHT;
                for bar in bars {
                    self.bar(svg, &axis, bar, y);
                    y += BAR_HEIGHT;
                }
            }
        });
    }

    fn frame(&self, svg: &mut Markup, axis: &Axis, height: f64) {
        let bottom = height - BOTTOM + 4.0;
        let mut free_from = 0.0;
        for (value, text) in axis.ticks() {
            let Some(x) = x(axis, value) else { continue };
            line(svg, "grid", [x, GROUP_HEIGHT, x, bottom]);
            let half = text.chars().count() as f64 * 3.9;
            let at = x.clamp(half, WIDTH - half);
            if at - half >= free_from {
                svg.element("text", &[("class", &"tick mid"), ("x", &Px(at)), ("y", &Px(bottom + 14.0))], &text);
                free_from = at + half + 4.0;
            }
        }
        if let Some(x) = self.rule.and_then(|rule| x(axis, rule)) {
            line(svg, "rule", [x, GROUP_HEIGHT, x, bottom]);
        }
        let title = if self.unit.is_empty() { self.title.clone() } else { format!("{}, {}", self.title, self.unit) };
        let middle = Px(WIDTH / 2.0);
        svg.element("text", &[("class", &"axis mid"), ("x", &middle), ("y", &Px(height - 6.0))], &cut(&title, 54));
    }

    fn bar(&self, svg: &mut Markup, axis: &Axis, bar: &Bar, y: f64) {
        let Estimate { value, low, high } = bar.estimate;
        let text = number::estimate(bar.estimate, &self.unit);
        let name_chars = 60_usize.saturating_sub(text.chars().count() + 2).max(12);
        let name = if bar.unranked { format!("{} (not ranked)", bar.name) } else { bar.name.clone() };
        svg.within("g", &[], |group| {
            group.element("title", &[], &format!("{name}: {text} {}", self.unit));
            let shown = cut(&name, name_chars);
            group.element("text", &[("class", &"name"), ("x", &Px(LEFT)), ("y", &Px(y + 12.0))], &shown);
            group.element("text", &[("class", &"value"), ("x", &Px(WIDTH - 4.0)), ("y", &Px(y + 12.0))], &text);
            let Some(end) = x(axis, value) else { return };
            let middle = y + 23.0;
            if self.rule.is_some() {
                bar.style.marker(group, end, middle);
            } else {
                let class = format!("{} {}", if bar.unranked { "hollow" } else { "bar" }, bar.style.class());
                let (width, height) = (Px((end - LEFT).max(1.0)), Px(12.0));
                let place: [Attribute<'_>; 4] =
                    [("x", &Px(LEFT)), ("y", &Px(y + 17.0)), ("width", &width), ("height", &height)];
                group.empty("rect", &[("class", &class), place[0], place[1], place[2], place[3]]);
            }
            if let (Some(low), Some(high)) = (x(axis, low), x(axis, high)) {
                line(group, "whisker", [low, middle, high, middle]);
                line(group, "whisker", [low, middle - 4.0, low, middle + 4.0]);
                line(group, "whisker", [high, middle - 4.0, high, middle + 4.0]);
            }
        });
    }
}

fn x(axis: &Axis, value: f64) -> Option<f64> {
    Some(LEFT + axis.place(value)?.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT))
}

fn line(svg: &mut Markup, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    let (x1, y1, x2, y2) = (Px(x1), Px(y1), Px(x2), Px(y2));
    svg.empty("line", &[("class", &class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)]);
}
