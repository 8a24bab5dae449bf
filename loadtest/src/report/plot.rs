//! Plots as inline SVG: drawn for a narrow screen, scaled up on a wide one. Colours are classes of the page's style
//! sheet, so that light and dark need no second drawing; dashes and markers tell the targets apart without colour.

mod axis;
mod bars;
mod heat;
mod lines;

pub use axis::{Axis, Scale};
pub use bars::{Bar, Bars};
pub use heat::heat;
pub use lines::{Line, Lines};

use super::markup::{Attribute, Markup, Px};

/// Width of every plot in its own units, which are pixels on a narrow screen.
pub const WIDTH: f64 = 420.0;
/// Colours, dashes and markers that there are; a tenth target looks like the first.
const STYLES: usize = 9;

/// How a target looks, the same in every plot of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style(pub usize);

impl Style {
    fn class(self) -> String {
        format!("c{}", self.0 % STYLES)
    }

    /// Lengths of strokes and gaps.
    fn dashes(self) -> &'static str {
        const DASHES: [&str; 4] = ["none", "7 3", "2 3", "9 3 2 3"];
        DASHES.get(self.0 % STYLES % DASHES.len()).copied().unwrap_or("none")
    }

    /// A marker around a point.
    fn marker(self, svg: &mut Markup, x: f64, y: f64) {
        let class = format!("mark {}", self.class());
        let path = match self.0 % STYLES % 5 {
            0 => {
                return svg.empty("circle", &[("class", &class), ("cx", &Px(x)), ("cy", &Px(y)), ("r", &"2.8")]);
            }
            1 => "m-2.6 -2.6h5.2v5.2h-5.2z",
            2 => "m0 -3.6l3.4 6h-6.8z",
            3 => "m0 -3.6l3.4 3.6l-3.4 3.6l-3.4 -3.6z",
            _ => "m0 3.6l3.4 -6h-6.8z",
        };
        svg.empty("path", &[("class", &class), ("d", &format!("M{} {}{path}", Px(x), Px(y)))]);
    }

    /// A short piece of this target's line, for a legend.
    pub fn swatch(self, html: &mut Markup) {
        let view: [Attribute<'_>; 3] = [("viewBox", &"0 0 30 10"), ("width", &"30"), ("height", &"10")];
        html.within("svg", &[view[0], view[1], view[2], ("aria-hidden", &"true")], |svg| {
            let class = format!("line {}", self.class());
            svg.empty("path", &[("class", &class), ("d", &"M1 5h28"), ("stroke-dasharray", &self.dashes())]);
            self.marker(svg, 15.0, 5.0);
        });
    }
}

/// The picture with a name for those who cannot see it.
fn picture(html: &mut Markup, label: &str, height: f64, body: impl FnOnce(&mut Markup)) {
    let view = format!("0 0 {} {}", Px(WIDTH), Px(height));
    html.within("svg", &[("viewBox", &view), ("role", &"img"), ("aria-label", &label)], body);
}
