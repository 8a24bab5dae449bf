//! Values of `gateway.toml` that TOML has no type for: durations, sizes, networks, lists of cores.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use proxy::settings::Network;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// `"250ms"`, `"10s"`, `"5m"`, `"1h"`, `"30d"`; `"0"` where there may be no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milliseconds(pub u32);

/// Bytes: a number, or `"8MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// `[0, 1]` or `"0-3,6"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(pub Vec<usize>);

/// `"10.0.0.0/8"`, `"2001:db8::1"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkText(pub Network);

/// `"127.0.0.1:8080"`, `"[::1]:8080"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

const DAY_MS: u32 = 86_400_000;

/// None: it is no duration. An error: it is a longer one than can be counted.
fn parse_ms(text: &str) -> Option<Result<u32, Longer>> {
    if text == "0" {
        return Some(Ok(0));
    }
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let ms: u32 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MS,
        _ => return None,
    };
    let counted = number.parse::<u32>().ok().and_then(|number| number.checked_mul(ms));
    (!number.is_empty()).then(|| counted.ok_or(Longer))
}

/// Than any setting takes.
#[derive(Debug, PartialEq, Eq)]
struct Longer;

fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn parse_network(text: &str) -> Result<Network, String> {
    let expected = || format!("expected an address or a prefix like \"10.0.0.0/8\", found \"{text}\"");
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| expected())?;
    let widest = if address.is_ipv4() { 32 } else { 128 };
    let prefix_bits = bits.map_or(Ok(widest), str::parse).map_err(|_| expected())?;
    if prefix_bits > widest {
        return Err(format!("expected a prefix of at most {widest} bits, found \"{text}\""));
    }
    Ok(Network { address, prefix_bits })
}

impl<'de> Deserialize<'de> for Milliseconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match parse_ms(&text) {
            Some(Ok(ms)) => Ok(Self(ms)),
            Some(Err(Longer)) => Err(D::Error::custom(format!(
                "expected a duration of at most {}d, found \"{text}\"",
                u32::MAX / DAY_MS
            ))),
            None => Err(D::Error::custom(format!(
                "expected a duration like \"250ms\", \"10s\", \"5m\", \"1h\" or \"30d\", found \"{text}\""
            ))),
        }
    }
}

impl fmt::Display for Milliseconds {
    /// In the largest unit that it is a whole number of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            ms if ms % DAY_MS == 0 && ms > DAY_MS => write!(f, "{}d", ms / DAY_MS),
            ms if ms % 3_600_000 == 0 => write!(f, "{}h", ms / 3_600_000),
            ms if ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl fmt::Display for Bytes {
    /// In the largest unit that it is a whole number of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            bytes if bytes % (1 << 30) == 0 => write!(f, "{}GiB", bytes >> 30),
            bytes if bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong =
            |_| D::Error::custom(format!("expected an IP address and port, like 127.0.0.1:8080, found \"{text}\""));
        text.parse().map(Self).map_err(wrong)
    }
}

impl<'de> Deserialize<'de> for NetworkText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        parse_network(&String::deserialize(from)?).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or a size like \"8MiB\"")
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Bytes, E> {
        u64::try_from(bytes).map(Bytes).map_err(|_| E::custom("expected a number of bytes, found a negative one"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        let wrong = || E::custom(format!("expected a size like \"64KiB\", \"8MiB\" or \"1GiB\", found \"{text}\""));
        parse_bytes(text).map(Bytes).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Cores {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CoresVisitor)
    }
}

struct CoresVisitor;

impl<'de> Visitor<'de> for CoresVisitor {
    type Value = Cores;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cores like [0, 1] or \"0-3,6\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cores, E> {
        super::cores::parse(text).map(Cores).map_err(E::custom)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Cores, A::Error> {
        let mut text = String::new();
        while let Some(core) = list.next_element::<u16>()? {
            text.push_str(&format!("{}{core}", if text.is_empty() { "" } else { "," }));
        }
        super::cores::parse(&text).map(Cores).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_and_networks() {
        for (text, ms) in [("250ms", 250), ("5m", 300_000), ("0", 0), ("1d", 86_400_000), ("720h", 30 * DAY_MS)] {
            assert_eq!(parse_ms(text), Some(Ok(ms)));
        }
        let durations =
            [("250ms", 250), ("24h", DAY_MS), ("30d", 30 * DAY_MS), ("90m", 5_400_000), ("10s", 10_000), ("0", 0)];
        for (shown, ms) in durations {
            assert_eq!((Milliseconds(ms).to_string().as_str(), parse_ms(shown)), (shown, Some(Ok(ms))));
        }
        for longer in ["50d", "9999999999s"] {
            assert_eq!(parse_ms(longer), Some(Err(Longer)), "{longer}");
        }
        for (shown, bytes) in [("256B", 256), ("64KiB", 65_536), ("8MiB", 8 << 20), ("1GiB", 1 << 30), ("1025B", 1_025)]
        {
            assert_eq!((Bytes(bytes).to_string().as_str(), parse_bytes(shown)), (shown, Some(bytes)));
        }
        for wrong in ["", "5", "5 s", "s", "-1s", "1h30m", "4w"] {
            assert_eq!(parse_ms(wrong), None, "{wrong}");
        }
        assert_eq!(parse_bytes("8MiB"), Some(8 << 20));
        assert_eq!(parse_bytes("12"), Some(12));
        assert_eq!(parse_bytes("8MB"), None);
        assert!(parse_network("10.0.0.0/8").unwrap().contains("10.2.3.4".parse().unwrap()));
        assert_eq!(parse_network("::1").unwrap().prefix_bits, 128);
        assert!(parse_network("10.0.0.0/33").is_err() && parse_network("ten").is_err());
    }
}
