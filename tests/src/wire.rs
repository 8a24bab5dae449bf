//! A strict parser of HTTP/1.1 heads (RFC 9112), written apart from the gateway's own: what does not parse here is
//! not one unambiguous message.

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What a gateway may send to an origin: one spelling of each thing.
    Canonical,
    /// All that the grammar of RFC 9112 allows a client to send, and nothing that it does not.
    Grammar,
}

/// Result of parsing the start of `bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    Complete(T),
    /// Valid so far, more bytes are needed.
    Partial,
    /// Why it is not a valid message.
    Invalid(String),
}

/// One field line, value without surrounding white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub value: Vec<u8>,
}

impl Field {
    /// The value as text; bytes that are not UTF-8 give `"<bytes>"`, which equals no expectation.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.value).unwrap_or("<bytes>")
    }
}

/// How the content is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    pub method: String,
    pub target: Vec<u8>,
    /// Minor version: 0 or 1.
    pub minor: u8,
    pub fields: Vec<Field>,
    pub framing: Framing,
    /// Bytes of the head, the empty line included.
    pub length: usize,
}

impl RequestHead {
    pub fn value(&self, name: &str) -> Option<&str> {
        crate::first_value(&self.fields, name)
    }

    pub fn target_text(&self) -> String {
        String::from_utf8_lossy(&self.target).into_owned()
    }

    /// Whether the connection goes on after this request (RFC 9112 §9.3).
    pub fn keep_alive(&self) -> bool {
        persistent(&self.fields, self.minor)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: u16,
    pub minor: u8,
    pub fields: Vec<Field>,
    pub framing: Framing,
    pub length: usize,
}

/// Parses a request head.
pub fn request_head(bytes: &[u8], mode: Mode) -> Parsed<RequestHead> {
    let whole = bytes.len();
    let mut bytes = bytes;
    while mode == Mode::Grammar && bytes.starts_with(b"\r\n") {
        bytes = &bytes[2..]; // RFC 9112 §2.2: empty lines before a request are ignored
    }
    let skipped = whole - bytes.len();
    let (line, after) = match line(bytes) {
        Parsed::Complete(found) => found,
        Parsed::Partial => return request_line_prefix(bytes),
        Parsed::Invalid(why) => return Parsed::Invalid(why),
    };
    let (method, target, minor) = match request_line(line, mode) {
        Ok(parts) => parts,
        Err(why) => return Parsed::Invalid(why),
    };
    let (fields, length) = match field_section(&bytes[after..]) {
        Parsed::Complete(found) => found,
        Parsed::Partial => return Parsed::Partial,
        Parsed::Invalid(why) => return Parsed::Invalid(why),
    };
    match request_framing(&fields, minor, mode) {
        Ok(framing) => {
            Parsed::Complete(RequestHead { method, target, minor, fields, framing, length: skipped + after + length })
        }
        Err(why) => Parsed::Invalid(why),
    }
}

/// Parses a response head; `method` is that of the request it answers.
pub fn response_head(bytes: &[u8], method: &str) -> Parsed<ResponseHead> {
    let (line, after) = match line(bytes) {
        Parsed::Complete(found) => found,
        Parsed::Partial => return Parsed::Partial,
        Parsed::Invalid(why) => return Parsed::Invalid(why),
    };
    let (status, minor) = match status_line(line) {
        Ok(parts) => parts,
        Err(why) => return Parsed::Invalid(why),
    };
    let (fields, length) = match field_section(&bytes[after..]) {
        Parsed::Complete(found) => found,
        Parsed::Partial => return Parsed::Partial,
        Parsed::Invalid(why) => return Parsed::Invalid(why),
    };
    let framing = match response_framing(&fields, status, method) {
        Ok(framing) => framing,
        Err(why) => return Parsed::Invalid(why),
    };
    Parsed::Complete(ResponseHead { status, minor, fields, framing, length: after + length })
}

/// Parses field lines up to and with the empty line; gives them and the bytes used.
pub fn field_section(bytes: &[u8]) -> Parsed<(Vec<Field>, usize)> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let (text, used) = match line(&bytes[at..]) {
            Parsed::Complete(found) => found,
            Parsed::Partial => return Parsed::Partial,
            Parsed::Invalid(why) => return Parsed::Invalid(why),
        };
        at += used;
        if text.is_empty() {
            return Parsed::Complete((fields, at));
        }
        match field_line(text) {
            Ok(field) => fields.push(field),
            Err(why) => return Parsed::Invalid(why),
        }
    }
}

/// Whether a connection is to be kept after a message with these fields (RFC 9112 §9.3).
pub fn persistent(fields: &[Field], minor: u8) -> bool {
    let mut close = false;
    let mut keep = false;
    for field in fields.iter().filter(|field| field.name.eq_ignore_ascii_case("connection")) {
        for option in field.text().split(',').map(str::trim) {
            close |= option.eq_ignore_ascii_case("close");
            keep |= option.eq_ignore_ascii_case("keep-alive");
        }
    }
    !close && (minor == 1 || keep)
}

/// `tchar` of RFC 9110 §5.6.2.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A line without its CRLF, and the bytes used with it. A lone CR or LF is an error.
fn line(bytes: &[u8]) -> Parsed<(&[u8], usize)> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\r' || *byte == b'\n') else { return Parsed::Partial };
    match (bytes[end], bytes.get(end + 1)) {
        (b'\r', Some(b'\n')) => Parsed::Complete((&bytes[..end], end + 2)),
        (b'\r', None) => Parsed::Partial,
        (b'\r', Some(_)) => Parsed::Invalid("a CR without LF".into()),
        _ => Parsed::Invalid("a LF without CR".into()),
    }
}

/// An unfinished request line may already be hopeless.
fn request_line_prefix(bytes: &[u8]) -> Parsed<RequestHead> {
    let method = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    match method.iter().find(|byte| !is_token_byte(**byte)) {
        Some(byte) => Parsed::Invalid(format!("byte {byte:#04x} in the method")),
        None => Parsed::Partial,
    }
}

fn request_line(line: &[u8], mode: Mode) -> Result<(String, Vec<u8>, u8), String> {
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts.as_slice() else {
        return Err(format!("a request line of {} parts", parts.len()));
    };
    if method.is_empty() || !method.iter().copied().all(is_token_byte) {
        return Err("an invalid method".into());
    }
    let minor = match (*version, mode) {
        (b"HTTP/1.1", _) => 1,
        (b"HTTP/1.0", Mode::Grammar) => 0,
        _ => return Err(format!("the version {:?}", String::from_utf8_lossy(version))),
    };
    let method = String::from_utf8_lossy(method).into_owned();
    target_form(&method, target, mode)?;
    Ok((method, target.to_vec(), minor))
}

/// The four forms of RFC 9112 §3.2; the canonical one has only origin-form and `OPTIONS *`.
fn target_form(method: &str, target: &[u8], mode: Mode) -> Result<(), String> {
    // A query may have any visible ASCII but `#`, as browsers send it: it cannot end the line, and nobody routes by it.
    let path_length = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(path_length);
    let byte_fits = |byte: &u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(byte);
    let query_fits = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
    if target.is_empty() || !path.iter().all(byte_fits) || !query.iter().all(query_fits) {
        return Err(format!("the request-target {:?}", String::from_utf8_lossy(target)));
    }
    let escapes = path.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    for (at, _) in escapes {
        if !path.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            return Err("an invalid percent-encoding".into());
        }
    }
    let absolute = target.starts_with(b"http://") || target.starts_with(b"https://");
    match (mode, method) {
        (_, "OPTIONS") if target == b"*" => Ok(()),
        (Mode::Grammar, "CONNECT") => Ok(()),
        (_, _) if target.starts_with(b"/") => Ok(()),
        (Mode::Grammar, _) if absolute => Ok(()),
        _ => Err(format!("the request-target {:?}", String::from_utf8_lossy(target))),
    }
}

fn status_line(line: &[u8]) -> Result<(u16, u8), String> {
    let text = String::from_utf8_lossy(line).into_owned();
    let minor = match line.get(..9) {
        Some(b"HTTP/1.1 ") => 1,
        Some(b"HTTP/1.0 ") => 0,
        _ => return Err(format!("the status line {text:?}")),
    };
    let digits = line.get(9..12).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let status = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    match (status, line.get(12)) {
        (Some(status), None | Some(b' ')) if (100..600).contains(&status) => Ok((status, minor)),
        _ => Err(format!("the status line {text:?}")),
    }
}

fn field_line(line: &[u8]) -> Result<Field, String> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or("a field line without a colon")?;
    let name = &line[..colon];
    if name.is_empty() || !name.iter().copied().all(is_token_byte) {
        return Err(format!("the field name {:?}", String::from_utf8_lossy(name)));
    }
    let value = line[colon + 1..].trim_ascii();
    let blank = |byte: u8| byte == b' ' || byte == b'\t';
    let allowed = |byte: &u8| blank(*byte) || (*byte > 0x20 && *byte != 0x7f);
    if !line[colon + 1..].iter().all(allowed) {
        return Err(format!("a control byte in the value of {}", String::from_utf8_lossy(name)));
    }
    Ok(Field { name: String::from_utf8_lossy(name).into_owned(), value: value.to_vec() })
}

fn request_framing(fields: &[Field], minor: u8, mode: Mode) -> Result<Framing, String> {
    host(fields, minor)?;
    match (content_length(fields, mode)?, chunked(fields, mode)?) {
        (Some(_), true) => Err("Content-Length together with Transfer-Encoding".into()),
        (None, true) if minor == 0 => Err("Transfer-Encoding in HTTP/1.0".into()),
        (None, true) => Ok(Framing::Chunked),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, false) => Ok(Framing::None),
    }
}

fn response_framing(fields: &[Field], status: u16, method: &str) -> Result<Framing, String> {
    let length = content_length(fields, Mode::Canonical)?;
    let chunked = chunked(fields, Mode::Canonical)?;
    let empty = method == "HEAD" || status < 200 || status == 204 || status == 304;
    match (length, chunked) {
        (Some(_), true) => Err("Content-Length together with Transfer-Encoding".into()),
        (Some(_), _) | (_, true) if status < 200 || status == 204 => Err(format!("framing fields in a {status}")),
        _ if empty => Ok(Framing::None),
        (None, true) => Ok(Framing::Chunked),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, false) => Ok(Framing::UntilClose),
    }
}

fn host(fields: &[Field], minor: u8) -> Result<(), String> {
    let hosts: Vec<&Field> = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("host")).collect();
    match (hosts.as_slice(), minor) {
        ([], 0) => Ok(()),
        ([one], _) if host_is_valid(&one.value) => Ok(()),
        ([one], _) => Err(format!("the Host {:?}", one.text())),
        (many, _) => Err(format!("{} Host fields", many.len())),
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2) with a host that is not empty.
fn host_is_valid(value: &[u8]) -> bool {
    let (host, port) = match value.strip_prefix(b"[") {
        Some(rest) => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let address =
                std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse::<std::net::Ipv6Addr>().ok());
            if address.is_none() {
                return false;
            }
            (&rest[..end], &rest[end + 1..])
        }
        None => value.split_at(value.iter().position(|byte| *byte == b':').unwrap_or(value.len())),
    };
    let name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%:".contains(byte);
    let port_fits = match port.strip_prefix(b":") {
        Some([]) => true,
        Some(digits) if digits.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(digits).is_ok_and(|text| text.parse::<u16>().is_ok())
        }
        _ => port.is_empty(),
    };
    let dotted = host.windows(2).any(|pair| pair == b"..") || host.starts_with(b".");
    !host.is_empty() && host.iter().all(name_byte) && port_fits && !dotted
}

fn content_length(fields: &[Field], mode: Mode) -> Result<Option<u64>, String> {
    let values: Vec<&Field> = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("content-length")).collect();
    let [one] = values.as_slice() else {
        return if values.is_empty() { Ok(None) } else { Err("several Content-Length fields".into()) };
    };
    let text = one.text();
    let padded = text.len() > 1 && text.starts_with('0');
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) || (padded && mode == Mode::Canonical) {
        return Err(format!("the Content-Length {text:?}"));
    }
    text.parse().map(Some).map_err(|_| format!("the Content-Length {text:?}"))
}

/// Whether the content is chunked; any other coding, or a second one, is an error.
fn chunked(fields: &[Field], mode: Mode) -> Result<bool, String> {
    let values: Vec<&Field> =
        fields.iter().filter(|field| field.name.eq_ignore_ascii_case("transfer-encoding")).collect();
    let [one] = values.as_slice() else {
        return if values.is_empty() { Ok(false) } else { Err("several Transfer-Encoding fields".into()) };
    };
    let same =
        if mode == Mode::Canonical { one.text() == "chunked" } else { one.text().eq_ignore_ascii_case("chunked") };
    if same { Ok(true) } else { Err(format!("the Transfer-Encoding {:?}", one.text())) }
}

#[cfg(test)]
mod tests;
