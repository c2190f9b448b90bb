//! What is done to inputs.

use crate::random::Random;

/// Longest input, in bytes: a few of whatever there is.
pub const INPUT_BYTES_MAX: usize = 256 << 10;

/// Numbers at which things happen.
const NUMBERS: [i64; 22] = [
    0,
    1,
    -1,
    -2,
    2,
    16,
    127,
    128,
    255,
    256,
    1000,
    4096,
    32767,
    -32768,
    65535,
    65536,
    100_000,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    i64::MAX,
    i64::MIN,
];

/// Damages an input in one to eight ways. `other` is another input, to take parts from.
pub fn damage(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let times = 1 + random.below(8).min(random.below(8));
    for _ in 0..times {
        once(bytes, other, random);
    }
    bytes.truncate(INPUT_BYTES_MAX);
}

fn once(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(12) {
        0 => flip(bytes, random),
        1 => set(bytes, random),
        2 | 3 => number(bytes, at, random),
        4 => varint(bytes, at, random),
        5 => bytes.truncate(at),
        6 => {
            let end = (at + 1 + random.below(32)).min(bytes.len());
            bytes.drain(at..end);
        }
        7 => {
            let count = 1 + random.below(32);
            let byte = random.next() as u8;
            bytes.splice(at..at, std::iter::repeat_n(byte, count));
        }
        8 => repeat(bytes, at, random),
        9 => splice(bytes, at, other, random),
        10 => swap(bytes, random),
        _ => noise(bytes, at, random),
    }
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    if !bytes.is_empty() {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }
}

fn set(bytes: &mut [u8], random: &mut Random) {
    if !bytes.is_empty() {
        let at = random.below(bytes.len());
        bytes[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff, random.clone().next() as u8]);
    }
}

/// A number of 1 to 8 bytes, in either order, sometimes next to the one that is there.
fn number(bytes: &mut [u8], at: usize, random: &mut Random) {
    let width = 1 << random.below(4);
    let Some(place) = bytes.get_mut(at..at + width) else {
        return;
    };
    let mut value = *random.pick(&NUMBERS);
    if random.one_in(3) {
        let mut old = [0; 8];
        old[8 - width..].copy_from_slice(place);
        value = i64::from_be_bytes(old).wrapping_add(random.below(5) as i64 - 2);
    }
    let big = value.to_be_bytes();
    place.copy_from_slice(&big[8 - width..]);
    if random.one_in(4) {
        place.reverse();
    }
}

fn varint(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let mut value = *random.pick(&NUMBERS) as u64;
    let mut written = Vec::new();
    while value >= 0x80 {
        written.push(value as u8 | 0x80);
        value >>= 7;
    }
    written.push(value as u8);
    let end = match random.one_in(2) {
        true => at,
        false => (at + written.len()).min(bytes.len()),
    };
    bytes.splice(at..end, written);
}

/// A part once more, right behind itself.
fn repeat(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let end = (at + 1 + random.below(64)).min(bytes.len());
    let part = bytes[at..end].to_vec();
    for _ in 0..1 + random.below(4) {
        bytes.splice(end..end, part.iter().copied());
    }
}

/// A part of another input.
fn splice(bytes: &mut Vec<u8>, at: usize, other: &[u8], random: &mut Random) {
    let begin = random.below(other.len() + 1);
    let end = (begin + random.below(256)).min(other.len());
    let until = match random.one_in(2) {
        true => at,
        false => (at + end - begin).min(bytes.len()),
    };
    bytes.splice(at..until, other[begin..end].iter().copied());
}

fn swap(bytes: &mut [u8], random: &mut Random) {
    if !bytes.is_empty() {
        let (a, b) = (random.below(bytes.len()), random.below(bytes.len()));
        bytes.swap(a, b);
    }
}

fn noise(bytes: &mut [u8], at: usize, random: &mut Random) {
    let end = (at + 1 + random.below(16)).min(bytes.len());
    for byte in &mut bytes[at..end] {
        *byte = random.next() as u8;
    }
}
