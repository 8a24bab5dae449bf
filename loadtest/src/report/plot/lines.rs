//! Lines over two axes.

use super::{Attribute, Axis, Markup, Px, Style, WIDTH, picture};
use crate::report::escape::cut;

const HEIGHT: f64 = 270.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 44.0;

/// One target's points, by rising x.
pub struct Line {
    pub name: String,
    pub style: Style,
    pub points: Vec<(f64, f64)>,
}

/// A plot of lines with its legend.
pub struct Lines {
    /// What is seen, for those who cannot see it.
    pub label: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
    /// Draw what y = x would be, named so.
    pub diagonal: Option<&'static str>,
}

impl Lines {
    pub fn draw(&self, html: &mut Markup) {
        picture(html, &self.label, HEIGHT, |svg| {
            self.frame(svg);
            if let Some(name) = self.diagonal {
                self.diagonal(svg, name);
            }
            for line in &self.lines {
                self.line(svg, line);
            }
        });
        html.within("ul", &[("class", &"legend")], |list| {
            for line in &self.lines {
                list.within("li", &[], |item| {
                    line.style.swatch(item);
                    item.text(&cut(&line.name, 40));
                });
            }
        });
    }

    fn at(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let (x, y) = (self.x.place(x)?, self.y.place(y)?);
        Some((LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)))
    }

    fn frame(&self, svg: &mut Markup) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in self.y.ticks() {
            let Some(place) = self.y.place(value) else { continue };
            let y = bottom - place * (bottom - TOP);
            let ends: [Attribute<'_>; 4] = [("x1", &Px(LEFT)), ("y1", &Px(y)), ("x2", &Px(right)), ("y2", &Px(y))];
            svg.empty("line", &[("class", &"grid"), ends[0], ends[1], ends[2], ends[3]]);
            svg.element("text", &[("class", &"tick end"), ("x", &Px(LEFT - 6.0)), ("y", &Px(y + 4.0))], &text);
        }
        let mut free_from = 0.0;
        for (value, text) in self.x.ticks() {
            let Some(place) = self.x.place(value) else { continue };
            let x = LEFT + place * (right - LEFT);
            let ends: [Attribute<'_>; 4] = [("x1", &Px(x)), ("y1", &Px(TOP)), ("x2", &Px(x)), ("y2", &Px(bottom))];
            svg.empty("line", &[("class", &"grid"), ends[0], ends[1], ends[2], ends[3]]);
            let half = text.chars().count() as f64 * 3.9;
            if x - half < free_from {
                continue; // it would run into the one before it
            }
            free_from = x + half + 4.0;
            let x = x.min(WIDTH - half);
            svg.element("text", &[("class", &"tick mid"), ("x", &Px(x)), ("y", &Px(bottom + 16.0))], &text);
        }
        svg.element("text", &[("class", &"axis"), ("x", &"4"), ("y", &"12")], &self.y.title);
        let middle = Px((LEFT + right) / 2.0);
        svg.element("text", &[("class", &"axis mid"), ("x", &middle), ("y", &Px(HEIGHT - 8.0))], &self.x.title);
    }

    fn line(&self, svg: &mut Markup, line: &Line) {
        let places: Vec<(f64, f64)> = line.points.iter().filter_map(|(x, y)| self.at(*x, *y)).collect();
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{},{}", Px(*x), Px(*y))).collect();
        svg.within("g", &[], |group| {
            group.element("title", &[], &cut(&line.name, 80));
            let class = format!("line {}", line.style.class());
            let (points, dashes) = (points.join(" "), line.style.dashes());
            group.empty("polyline", &[("class", &class), ("points", &points), ("stroke-dasharray", &dashes)]);
            for (x, y) in places {
                line.style.marker(group, x, y);
            }
        });
    }

    fn diagonal(&self, svg: &mut Markup, name: &str) {
        let ticks = self.x.ticks();
        let Some((end, _)) = ticks.iter().rfind(|(value, _)| self.y.place(*value).is_some_and(|y| y <= 1.0)) else {
            return;
        };
        let (Some((x1, y1)), Some((x2, y2))) = (self.at(0.0, 0.0), self.at(*end, *end)) else { return };
        let ends: [Attribute<'_>; 4] = [("x1", &Px(x1)), ("y1", &Px(y1)), ("x2", &Px(x2)), ("y2", &Px(y2))];
        svg.empty("line", &[("class", &"rule"), ends[0], ends[1], ends[2], ends[3]]);
        svg.element("text", &[("class", &"tick end"), ("x", &Px(x2 - 6.0)), ("y", &Px(y2 - 2.0))], name);
    }
}
