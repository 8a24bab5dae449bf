//! Bech32 (BIP 173) of 32 bytes, without its bound of 90 characters, as age has it.

use zeroize::Zeroizing;

const CHARACTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM_CHARACTERS: usize = 6;
/// Characters of 32 bytes in groups of five bits.
const DATA_CHARACTERS: usize = 52;

/// Of `human` and the bytes, in small letters.
pub fn encode(human: &str, bytes: &[u8; 32]) -> Zeroizing<String> {
    let groups = Zeroizing::new(groups_of(bytes));
    let mut text = Zeroizing::new(String::with_capacity(human.len() + 1 + DATA_CHARACTERS + CHECKSUM_CHARACTERS));
    text.push_str(human);
    text.push('1');
    let sum = checksum(human, &groups, &[0; CHECKSUM_CHARACTERS]) ^ 1;
    let of_sum = (0..CHECKSUM_CHARACTERS).map(|at| (sum >> (5 * (CHECKSUM_CHARACTERS - 1 - at)) & 31) as u8);
    for group in groups.iter().copied().chain(of_sum) {
        text.push(char::from(CHARACTERS.get(usize::from(group)).copied().unwrap_or(b'?')));
    }
    text
}

/// The 32 bytes behind `human`; none where it is something else. All of `text` is in small or all in capital letters.
pub fn decode(human: &str, text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let has = |test: fn(&u8) -> bool| text.bytes().any(|byte| test(&byte));
    if has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) {
        return None;
    }
    let head = text.get(..human.len()).filter(|head| head.eq_ignore_ascii_case(human))?;
    let data = text.get(head.len()..)?.strip_prefix('1')?;
    if data.len() != DATA_CHARACTERS + CHECKSUM_CHARACTERS {
        return None;
    }
    let mut groups = Zeroizing::new([0_u8; DATA_CHARACTERS]);
    let mut sum = [0_u8; CHECKSUM_CHARACTERS];
    for (slot, byte) in groups.iter_mut().chain(&mut sum).zip(data.bytes()) {
        let value = CHARACTERS.iter().position(|character| *character == byte.to_ascii_lowercase())?;
        *slot = u8::try_from(value).ok()?;
    }
    if checksum(human, &groups, &sum) != 1 {
        return None;
    }
    bytes_of(&groups)
}

fn groups_of(bytes: &[u8; 32]) -> [u8; DATA_CHARACTERS] {
    let mut groups = [0; DATA_CHARACTERS];
    for (at, group) in groups.iter_mut().enumerate() {
        let bit = |of: usize| bytes.get(of / 8).map_or(0, |byte| byte >> (7 - of % 8) & 1);
        *group = (0..5).fold(0, |group, more| group << 1 | bit(at * 5 + more));
    }
    groups
}

/// None where a bit behind the last byte is set.
fn bytes_of(groups: &[u8; DATA_CHARACTERS]) -> Option<Zeroizing<[u8; 32]>> {
    let bit = |of: usize| groups.get(of / 5).map_or(0, |group| group >> (4 - of % 5) & 1);
    let mut bytes = Zeroizing::new([0; 32]);
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = (0..8).fold(0, |byte, more| byte << 1 | bit(at * 8 + more));
    }
    (256..DATA_CHARACTERS * 5).all(|of| bit(of) == 0).then_some(bytes)
}

fn checksum(human: &str, groups: &[u8; DATA_CHARACTERS], sum: &[u8; CHECKSUM_CHARACTERS]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let human = || human.bytes().map(|byte| byte.to_ascii_lowercase());
    let expanded = human().map(|byte| byte >> 5).chain([0]).chain(human().map(|byte| byte & 31));
    expanded.chain(groups.iter().copied()).chain(sum.iter().copied()).fold(1_u32, |state, value| {
        let top = state >> 25;
        let next = (state & 0x01ff_ffff) << 5 ^ u32::from(value);
        GENERATOR.iter().enumerate().fold(next, |next, (at, of)| if top >> at & 1 == 1 { next ^ of } else { next })
    })
}
