//! The registers of a HyperLogLog as the dense form packs them: 6 bits each, from the least significant bit of the first
//! byte on, so that four are three bytes. It knows no header and no other form.

use super::{HISTOGRAM, REGISTER_BITS, REGISTERS};
use crate::value::wide;

/// Bytes that all registers take.
pub(super) const LEN: usize = REGISTERS * REGISTER_BITS / 8;
/// All registers.
pub(super) type Packed = [u8; LEN];

const REGISTER: u32 = (1 << REGISTER_BITS) - 1;

/// Raises a register; true if it was lower.
pub(super) fn raise(registers: &mut Packed, index: usize, value: u8) -> bool {
    let at = index / 4 * 3;
    let three = &mut registers[at..at + 3];
    let shift = index % 4 * REGISTER_BITS;
    let bits = u32::from_le_bytes([three[0], three[1], three[2], 0]);
    if bits >> shift & REGISTER >= u32::from(value) {
        return false;
    }
    let bits = bits & !(REGISTER << shift) | u32::from(value) << shift;
    three.copy_from_slice(&bits.to_le_bytes()[..3]);
    true
}

/// The registers in order.
pub(super) fn iter(registers: &Packed) -> impl Iterator<Item = u8> {
    let (threes, _) = registers.as_chunks::<3>();
    threes.iter().flat_map(|&[a, b, c]| {
        let bits = u32::from_le_bytes([a, b, c, 0]);
        std::array::from_fn::<u8, 4, _>(|index| (bits >> (index * REGISTER_BITS) & REGISTER) as u8)
    })
}

// ------------------------------------------------------------------------------------------------ merging

/// Words of 16 bits that are worked on together: three of them hold eight registers, and a multiple of sixteen fills
/// the wide registers of a processor.
const WORDS: usize = 48;
const GROUP_LEN: usize = 2 * WORDS;

type Masks = [u16; WORDS];

/// Which bits of each word belong to the lower register that lies in it whole.
const LOWER: Masks = repeated([0x003f, 0x00fc, 0x03f0]);
/// Which ones belong to the upper register.
const UPPER: Masks = repeated([0x0fc0, 0x3f00, 0xfc00]);
/// Which bits belong to registers that lie across two words, in words that begin a byte later.
const ACROSS: Masks = repeated([0x03f0, 0x0fc0, 0]);

const fn repeated(three: [u16; 3]) -> Masks {
    let mut masks = [0; WORDS];
    let mut word = 0;
    while word < WORDS {
        masks[word] = three[word % 3];
        word += 1;
    }
    masks
}

/// Raises each register to that of the others. They stay packed: where words are compared that have nothing but one
/// register left, the greater word is that of the greater register. Plain loops: what an iterator would call is compiled
/// by itself, for narrow registers.
pub(super) fn merge(registers: &mut Packed, others: &Packed) {
    wide::run((registers, others), |(registers, others)| {
        let (groups, _) = registers.as_chunks_mut::<GROUP_LEN>();
        let (other_groups, _) = others.as_chunks::<GROUP_LEN>();
        for (group, others) in groups.iter_mut().zip(other_groups) {
            raise_whole(group, others);
        }
        let (groups, rest) = registers[1..].as_chunks_mut::<GROUP_LEN>();
        let (other_groups, others_rest) = others[1..].as_chunks::<GROUP_LEN>();
        for (group, others) in groups.iter_mut().zip(other_groups) {
            raise_across(group, others);
        }
        raise_across(rest, others_rest);
    });
}

#[inline(always)]
fn raise_whole(group: &mut [u8; GROUP_LEN], others: &[u8; GROUP_LEN]) {
    let (words, _) = group.as_chunks_mut::<2>();
    let (others, _) = others.as_chunks::<2>();
    for index in 0..WORDS {
        let (lower, upper) = (LOWER[index], UPPER[index]);
        let own = u16::from_le_bytes(words[index]);
        let other = u16::from_le_bytes(others[index]);
        let raised = greater(own & lower, other & lower) | greater(own & upper, other & upper);
        words[index] = (own & !(lower | upper) | raised).to_le_bytes();
    }
}

#[inline(always)]
fn raise_across(group: &mut [u8], others: &[u8]) {
    let (words, _) = group.as_chunks_mut::<2>();
    let (others, _) = others.as_chunks::<2>();
    for index in 0..WORDS.min(words.len()).min(others.len()) {
        let mask = ACROSS[index];
        let own = u16::from_le_bytes(words[index]);
        let other = u16::from_le_bytes(others[index]);
        words[index] = (own & !mask | greater(own & mask, other & mask)).to_le_bytes();
    }
}

#[inline(always)]
fn greater(one: u16, other: u16) -> u16 {
    if one > other { one } else { other }
}

// ------------------------------------------------------------------------------------------------ counting

/// How many registers have each value. Neighbours are counted as a pair, which takes half as many steps, and seldom one
/// that waits for the one before it because both are the same.
pub(super) fn histogram(registers: &Packed) -> [u32; HISTOGRAM] {
    const PAIR: u64 = (1 << (2 * REGISTER_BITS)) - 1;
    let mut pairs = [0_u16; HISTOGRAM * HISTOGRAM];
    let (sixes, _) = registers.as_chunks::<6>();
    for &[a, b, c, d, e, f] in sixes {
        let bits = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        for pair in 0..4 {
            pairs[(bits >> (pair * 2 * REGISTER_BITS) & PAIR) as usize] += 1;
        }
    }
    let mut counts = [0_u32; HISTOGRAM];
    let (rows, _) = pairs.as_chunks::<HISTOGRAM>();
    for (second, row) in rows.iter().enumerate() {
        counts[second] += row.iter().map(|count| u32::from(*count)).sum::<u32>();
        for (count, more) in counts.iter_mut().zip(row) {
            *count += u32::from(*more);
        }
    }
    counts
}
