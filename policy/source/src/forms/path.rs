//! Path patterns: `/literal/{segment}/{rest...}`.

use std::ops::Range;

use policy::target::is_normal_segment;

use crate::bounds::{PATH_BYTES_MAX, SEGMENTS_MAX};
use crate::codes::{BAD_PATH, PATH_NOT_NORMAL};
use crate::fields::shown;
use crate::forms::Flaw;

/// What there is in the place of wildcards and regular expressions.
pub(crate) const WHOLE_SEGMENTS: &str =
    "`{name}` matches any one segment, `{rest...}` at the end all that follow; there are no regular expressions";
/// In a path they come from a regular expression, or must be escaped.
const EXPRESSION: [char; 5] = ['^', '[', ']', '\\', '|'];

/// One segment of a pattern. A trailing slash is a last literal segment that is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment<'t> {
    Literal(&'t str),
    Parameter(&'t str),
    Rest(&'t str),
}

/// What a route admits inside a segment beyond the ordinary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Admits {
    pub encoded_slash: bool,
    pub path_parameters: bool,
}

pub(crate) fn path(text: &str, admits: Admits) -> Result<Vec<Segment<'_>>, Flaw> {
    if text.len() > PATH_BYTES_MAX {
        return Err(Flaw::new(BAD_PATH, format!("a path has at most {PATH_BYTES_MAX} bytes"))
            .label("too long")
            .hint("end it earlier with `{rest...}`"));
    }
    let Some(inner) = text.strip_prefix('/') else {
        let flaw = Flaw::new(BAD_PATH, format!("the path `{}` does not start with `/`", shown(text)));
        return Err(flaw.label("no `/`").hint(match text.contains(EXPRESSION) {
            true => format!("write `/…`: {WHOLE_SEGMENTS}"),
            false => format!("write `/{}`", shown(text)),
        }));
    };
    let count = inner.split('/').count();
    if count > SEGMENTS_MAX {
        let message = format!("{count} segments, the most is {SEGMENTS_MAX}");
        return Err(Flaw::new(BAD_PATH, message).label("too many segments").hint("end it earlier with `{rest...}`"));
    }
    let mut segments: Vec<Segment<'_>> = Vec::with_capacity(count);
    let mut start = 1;
    for (position, piece) in inner.split('/').enumerate() {
        let at = start..start + piece.len();
        start = at.end + 1;
        let last = position + 1 == count;
        if piece.is_empty() && !last {
            let flaw = Flaw::new(BAD_PATH, "a segment inside the path is empty").at(at.start - 1..at.end + 1);
            return Err(flaw.label("two slashes").hint("remove one slash"));
        }
        let segment = segment(piece, at.clone(), last, admits)?;
        if let Some(name) = parameter_name(segment)
            && segments.iter().any(|earlier| parameter_name(*earlier) == Some(name))
        {
            let flaw = Flaw::new(BAD_PATH, format!("two parameters are named `{name}`")).at(at);
            return Err(flaw.label("again").hint("give each parameter a name of its own"));
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// The pattern with parameter names left out: equal for patterns that match the same paths.
pub(crate) fn shape(segments: &[Segment<'_>]) -> String {
    let mut shape = String::new();
    for segment in segments {
        shape.push('/');
        shape.push_str(match segment {
            Segment::Literal(literal) => literal,
            Segment::Parameter(_) => "{}",
            Segment::Rest(_) => "{...}",
        });
    }
    shape
}

fn parameter_name<'t>(segment: Segment<'t>) -> Option<&'t str> {
    match segment {
        Segment::Literal(_) => None,
        Segment::Parameter(name) | Segment::Rest(name) => Some(name),
    }
}

fn segment(piece: &str, at: Range<usize>, last: bool, admits: Admits) -> Result<Segment<'_>, Flaw> {
    if !piece.contains(['{', '}']) {
        if !piece.is_empty() {
            literal(piece, at, last, admits)?;
        }
        return Ok(Segment::Literal(piece));
    }
    expect_no_query(piece, &at)?;
    let inner = piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}'));
    let Some(inner) = inner.filter(|inner| !inner.contains(['{', '}'])) else {
        let flaw = Flaw::new(BAD_PATH, "a parameter is a whole segment").at(at).label("not a whole segment");
        return Err(flaw.hint("write `{name}` between two slashes"));
    };
    let rest = inner.strip_suffix("...");
    let name = rest.unwrap_or(inner);
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let valid = starts && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !valid {
        let flaw = Flaw::new(BAD_PATH, format!("`{}` is not the name of a parameter", shown(name))).at(at);
        let flaw = flaw.label("not a name");
        return Err(
            flaw.hint("letters, digits, `_` and `-`, beginning with a letter: `{id}`, or `{rest...}` at the end")
        );
    }
    match rest {
        Some(_) if !last => {
            let flaw = Flaw::new(BAD_PATH, format!("`{piece}` takes the rest of the path, but more follows")).at(at);
            Err(flaw.label("not the last segment").hint("put it last, or match one segment with `{name}`"))
        }
        Some(name) => Ok(Segment::Rest(name)),
        None => Ok(Segment::Parameter(name)),
    }
}

/// Refuses a query or a fragment in a segment that begins at `at`.
fn expect_no_query(piece: &str, at: &Range<usize>) -> Result<(), Flaw> {
    let Some(found) = piece.find(['?', '#']) else { return Ok(()) };
    let flaw = Flaw::new(BAD_PATH, "a path has neither query nor fragment").at(at.start + found..at.end);
    Err(flaw.label("not part of a path").hint("routes match the path alone; the query is passed on"))
}

fn literal(piece: &str, at: Range<usize>, last: bool, admits: Admits) -> Result<(), Flaw> {
    let within = |range: Range<usize>| at.start + range.start..at.start + range.end;
    let flaw = |message: String| Flaw::new(PATH_NOT_NORMAL, message);
    expect_no_query(piece, &at)?;
    if piece == "*" || piece == "**" {
        let flaw = Flaw::new(BAD_PATH, format!("`{piece}` is not a wildcard here")).at(at).label("a literal");
        return Err(flaw.hint(match (piece, last) {
            ("*", true) => "write `{name}` for one segment, `{rest...}` for all that follow",
            ("*", false) => "write `{name}`",
            (_, true) => "write `{rest...}`",
            (_, false) => "`{rest...}` takes all that follow, at the end alone; `{name}` matches one segment",
        }));
    }
    let before_parameters = piece.split(';').next().unwrap_or(piece);
    if matches!(before_parameters, "." | "..") {
        return Err(flaw("dot segments are refused in every request, so this never matches".to_owned())
            .at(at)
            .label("never matches")
            .hint("write the path that remains without them"));
    }
    if !admits.path_parameters
        && let Some(found) = piece.find(';')
    {
        let flaw = flaw("`;` parameters are refused unless the route admits them".to_owned());
        return Err(flaw
            .at(within(found..piece.len()))
            .label("refused")
            .hint("add `path_parameters = true` to the route"));
    }
    let slash = piece.as_bytes().windows(3).position(|window| window.eq_ignore_ascii_case(b"%2f"));
    if !admits.encoded_slash
        && let Some(found) = slash
    {
        let flaw = flaw("`%2F` is refused unless the route admits it".to_owned()).at(within(found..found + 3));
        return Err(flaw.label("refused").hint("add `encoded_slash = true` to the route"));
    }
    let normal = normal_form(piece);
    if normal != piece || !is_normal_segment(piece.as_bytes()) {
        let flaw = flaw(format!("`{}` is not in normal form, so it never matches", shown(piece))).at(at);
        let flaw = flaw.label("never matches");
        if piece.contains(EXPRESSION) {
            return Err(flaw.hint(format!("{WHOLE_SEGMENTS}; where the signs are meant: `{}`", shown(&normal))));
        }
        return Err(match normal != piece && is_normal_segment(normal.as_bytes()) {
            true => flaw.hint(format!("write `{}`", shown(&normal))),
            false => flaw.hint("targets with such characters are refused (RFC 3986 §3.3)"),
        });
    }
    Ok(())
}

/// A literal segment as the gateway sees it after normalisation (RFC 3986 §6.2.2): needless escapes decoded, the
/// others in upper case, and what must be escaped escaped.
fn normal_form(piece: &str) -> String {
    let mut normal = String::with_capacity(piece.len());
    let mut rest = piece.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escaped = (*byte == b'%').then(|| escape_value(after)).flatten();
        let value = escaped.unwrap_or(*byte);
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
        let plain = if escaped.is_some() { is_unreserved(value) } else { is_segment_byte(value) };
        match plain {
            true => normal.push(char::from(value)),
            false => normal.push_str(&format!("%{value:02X}")),
        }
    }
    normal
}

fn escape_value(after: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(after.get(..2)?).ok()?;
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 §3.3 without escapes.
const fn is_segment_byte(byte: u8) -> bool {
    is_unreserved(byte) || matches!(byte, b'!' | b'$'..=b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@') && byte != b'%'
}
