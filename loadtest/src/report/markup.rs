//! Markup that is well-formed by construction: text and attributes are escaped, whatever is opened is closed.

use std::fmt::{self, Display, Write};

use super::escape::{printable, visible};

/// HTML and SVG under construction. Elements without content end with `/>`, so that the page is XML as well.
#[derive(Default)]
pub struct Markup(String);

/// Name and value.
pub type Attribute<'a> = (&'static str, &'a dyn Display);

impl Markup {
    /// An element with what `body` puts into it.
    pub fn within(&mut self, name: &'static str, attributes: &[Attribute<'_>], body: impl FnOnce(&mut Self)) {
        self.start(name, attributes);
        self.0.push('>');
        body(self);
        let _ = write!(self.0, "</{name}>");
    }

    /// An element with a text.
    pub fn element(&mut self, name: &'static str, attributes: &[Attribute<'_>], text: &str) {
        self.within(name, attributes, |inside| inside.text(text));
    }

    /// An element without content.
    pub fn empty(&mut self, name: &'static str, attributes: &[Attribute<'_>]) {
        self.start(name, attributes);
        self.0.push_str("/>");
    }

    pub fn text(&mut self, text: &str) {
        self.escaped(&printable(text));
    }

    /// A style sheet of our own: nothing in it is escaped, so nothing in it may come from elsewhere.
    pub fn style(&mut self, sheet: &'static str) {
        let _ = write!(self.0, "<style>{sheet}</style>");
    }

    pub fn line(&mut self) {
        self.0.push('\n');
    }

    /// A whole document of what was built.
    pub fn document(self) -> String {
        format!("<!DOCTYPE html>\n{}\n", self.0)
    }

    fn start(&mut self, name: &'static str, attributes: &[Attribute<'_>]) {
        let _ = write!(self.0, "<{name}");
        for (attribute, value) in attributes {
            let _ = write!(self.0, " {attribute}=\"");
            self.escaped(&visible(&value.to_string()));
            self.0.push('"');
        }
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
    }
}

/// A coordinate: one decimal, and nothing that is no number.
#[derive(Clone, Copy)]
pub struct Px(pub f64);

impl Display for Px {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.0.is_finite() { self.0.clamp(-1e5, 1e5) } else { 0.0 };
        write!(to, "{:.1}", if value == 0.0 { 0.0 } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::{Markup, Px};

    #[test]
    fn hostile_text_stays_text() {
        let mut markup = Markup::default();
        markup.within("p", &[("title", &"\"><script>x</script>")], |inside| inside.text("<b>&'\u{1b}</b>"));
        markup.empty("br", &[("x", &Px(f64::NAN))]);
        let expected = "<p title=\"&quot;&gt;&lt;script&gt;x&lt;/script&gt;\">&lt;b&gt;&amp;&#39;�&lt;/b&gt;</p>\
                        <br x=\"0.0\"/>";
        assert_eq!(markup.document(), format!("<!DOCTYPE html>\n{expected}\n"));
    }
}
