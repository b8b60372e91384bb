//! HyperLogLog in a string, byte for byte as Redis lays it out: how many different elements were added, within 0.81 %,
//! in at most 12 KiB. Works on bytes that a client may have written, so nothing in them is trusted. Knows no keys.
//!
//! ```text
//! HYLL | encoding, 1 byte | 0 0 0 | count, 8 bytes, little endian | registers
//! ```
//!
//! The count is the last answer; its top bit is set when the registers changed since. There are 16384 registers, each
//! the longest run of zeros (and one) seen among the hashes that lead to it. Dense (encoding 0): 6 bits each, from the
//! least significant bit of the first byte on. Sparse (encoding 1), a sequence of runs:
//!
//! ```text
//! 00nnnnnn            n+1 registers that are 0
//! 01nnnnnn nnnnnnnn   n+1 registers that are 0
//! 1vvvvvnn            n+1 registers that are v+1
//! ```
//!
//! The estimate is Ertl's, "New cardinality estimation algorithms for HyperLogLog sketches" (2017).

mod dense;

const HEADER: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING: usize = 4;
const COUNT: std::ops::Range<usize> = 8..16;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 14;
/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash whose zeros are counted.
const COUNTED_BITS: u32 = 64 - INDEX_BITS;
const REGISTER_BITS: usize = 6;

/// Longest run of the one-byte form for zeros.
const MAX_SHORT_ZEROS: usize = 64;
/// Longest run of a value, and the largest value, that the sparse form can hold.
const MAX_VALUES: usize = 4;
const MAX_SPARSE_VALUE: u8 = 32;
/// A sparse one that grows is given room for this part of its length.
const SPARSE_ROOM: usize = 8;

/// The registers are not laid out as they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupted;

/// The two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// All registers.
    Dense,
    /// Runs of registers.
    Sparse,
}

impl Encoding {
    /// As PFDEBUG names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Sparse => "sparse",
        }
    }
}

/// A new, empty one.
#[must_use]
pub fn new() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + 2);
    bytes.resize(HEADER, 0);
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[ENCODING] = SPARSE;
    let mut left = REGISTERS;
    while left > 0 {
        let run = Run::Zeros(left.min(MAX_LONG_ZEROS));
        left -= run.len();
        run.write(&mut bytes);
    }
    bytes
}

/// The form, if the bytes begin like a HyperLogLog and have a length that one can have.
#[must_use]
pub fn encoding(bytes: &[u8]) -> Option<Encoding> {
    if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
        return None;
    }
    match bytes[ENCODING] {
        DENSE if bytes.len() == HEADER + dense::LEN => Some(Encoding::Dense),
        SPARSE => Some(Encoding::Sparse),
        _ => None,
    }
}

// ------------------------------------------------------------------------------------------------ the count

/// The count that was kept, if nothing changed since.
#[must_use]
pub fn kept_count(bytes: &[u8]) -> Option<u64> {
    let count = bytes.get(COUNT)?.try_into().map(u64::from_le_bytes).ok()?;
    (count >> 63 == 0).then_some(count)
}

/// Keeps a count.
pub fn keep_count(bytes: &mut [u8], count: u64) {
    bytes[COUNT].copy_from_slice(&count.to_le_bytes());
}

/// Says that the count is out of date.
pub fn forget_count(bytes: &mut [u8]) {
    bytes[COUNT.end - 1] |= 0x80;
}

// ------------------------------------------------------------------------------------------------ hashes

/// MurmurHash64A with the seed that every Redis uses.
fn hash(element: &[u8]) -> u64 {
    const SEED: u64 = 0xadc8_3b19;
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let (words, tail) = element.as_chunks::<8>();
    let mut hash = SEED ^ (element.len() as u64).wrapping_mul(MULTIPLIER);
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        let tail = tail.iter().rev();
        hash ^= tail.fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

/// The register of an element and what it says: one more than the zeros that its hash has there.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = hash(element);
    let index = hash as usize % REGISTERS;
    let zeros = (hash >> INDEX_BITS | 1 << COUNTED_BITS).trailing_zeros();
    (index, zeros as u8 + 1)
}

// ------------------------------------------------------------------------------------------------ the sparse form

const MAX_LONG_ZEROS: usize = 1 << 14;

/// A run of equal registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Zeros(usize),
    Values(u8, usize),
}

impl Run {
    /// The run that begins the bytes, and how many bytes it takes; nothing at the end.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        match *bytes {
            [first, ..] if first & 0x80 != 0 => {
                let value = (first >> 2 & 0x1f) + 1;
                Some((Self::Values(value, usize::from(first & 3) + 1), 1))
            }
            [first, ..] if first & 0x40 == 0 => Some((Self::Zeros(usize::from(first) + 1), 1)),
            [first, ref rest @ ..] => {
                // Redis reads a zero where the second byte is cut off.
                let second = rest.first().copied().unwrap_or(0);
                let len = usize::from(first & 0x3f) << 8 | usize::from(second);
                Some((Self::Zeros(len + 1), 1 + rest.len().min(1)))
            }
            [] => None,
        }
    }

    const fn len(self) -> usize {
        match self {
            Self::Zeros(len) | Self::Values(_, len) => len,
        }
    }

    const fn value(self) -> u8 {
        match self {
            Self::Zeros(_) => 0,
            Self::Values(value, _) => value,
        }
    }

    /// The same value for another number of registers.
    const fn with_len(self, len: usize) -> Self {
        match self {
            Self::Zeros(_) => Self::Zeros(len),
            Self::Values(value, _) => Self::Values(value, len),
        }
    }

    /// Appends the run; nothing where it is empty.
    fn write(self, out: &mut impl Extend<u8>) {
        match self {
            Self::Zeros(0) | Self::Values(_, 0) => {}
            Self::Zeros(len) if len <= MAX_SHORT_ZEROS => out.extend([(len - 1) as u8]),
            Self::Zeros(len) => {
                let len = len - 1;
                out.extend([0x40 | (len >> 8) as u8, (len & 0xff) as u8]);
            }
            Self::Values(value, len) => out.extend([0x80 | (value - 1) << 2 | (len - 1) as u8]),
        }
    }
}

/// The runs of a sparse one.
fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (run, size) = Run::read(rest)?;
        rest = rest.get(size..).unwrap_or_default();
        Some(run)
    })
}

/// Where the run that holds a register stands, and where the one before it.
struct Found {
    run: Run,
    at: usize,
    size: usize,
    before: Option<usize>,
    /// The register within the run.
    offset: usize,
}

fn find(bytes: &[u8], index: usize) -> Result<Found, Corrupted> {
    let (mut at, mut first, mut before) = (HEADER, 0, None);
    loop {
        let (run, size) = Run::read(bytes.get(at..).unwrap_or_default()).ok_or(Corrupted)?;
        if index < first + run.len() {
            return Ok(Found {
                run,
                at,
                size,
                before,
                offset: index - first,
            });
        }
        first += run.len();
        before = Some(at);
        at += size;
    }
}

/// Raises a register of a sparse one; true if it was lower. Where the sparse form has no room for it, nothing is done
/// and the answer is nothing.
fn raise_sparse(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    max_bytes: usize,
) -> Result<Option<bool>, Corrupted> {
    if value > MAX_SPARSE_VALUE {
        return Ok(None);
    }
    let found = find(bytes, index)?;
    if found.run.value() >= value {
        return Ok(Some(false));
    }
    let mut runs: smallvec::SmallVec<[u8; 8]> = smallvec::SmallVec::new();
    found.run.with_len(found.offset).write(&mut runs);
    Run::Values(value, 1).write(&mut runs);
    let behind = found.run.len() - found.offset - 1;
    found.run.with_len(behind).write(&mut runs);
    if runs.len() > found.size && bytes.len() + runs.len() - found.size > max_bytes {
        return Ok(None);
    }
    // Less room than a vector would take by itself: there may be many that stay small.
    let grows = runs.len().saturating_sub(found.size);
    if bytes.capacity() - bytes.len() < grows {
        bytes.reserve_exact(grows.max(bytes.len() / SPARSE_ROOM));
    }
    bytes.splice(found.at..found.at + found.size, runs);
    join(bytes, found.before.unwrap_or(HEADER));
    Ok(Some(true))
}

/// Joins runs of the same value near a place where one has changed. How far it looks, and that zeros are left alone, is
/// part of the layout: other servers would come to other bytes.
fn join(bytes: &mut Vec<u8>, from: usize) {
    const STEPS: usize = 5;
    let mut at = from;
    for _ in 0..STEPS {
        let Some((run, size)) = Run::read(bytes.get(at..).unwrap_or_default()) else {
            return;
        };
        let next = Run::read(bytes.get(at + size..).unwrap_or_default());
        if let (Run::Values(value, len), Some((Run::Values(second, more), _))) = (run, next)
            && value == second
            && len + more <= MAX_VALUES
        {
            bytes.remove(at);
            let joined = &mut bytes[at..=at];
            Run::Values(value, len + more).write(&mut Overwrite(joined));
        } else {
            at += size;
        }
    }
}

/// Writes over bytes that are there.
struct Overwrite<'a>(&'a mut [u8]);

impl Extend<u8> for Overwrite<'_> {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        let places = self.0.iter_mut();
        places.zip(bytes).for_each(|(place, byte)| *place = byte);
    }
}

// ------------------------------------------------------------------------------------------------ the dense form

/// The registers of what has the dense form.
fn packed(bytes: &[u8]) -> Option<&dense::Packed> {
    let registers = bytes.get(HEADER..)?.try_into().ok()?;
    (bytes[ENCODING] == DENSE).then_some(registers)
}

/// The same, to be changed.
fn packed_mut(bytes: &mut [u8]) -> Option<&mut dense::Packed> {
    let is_dense = *bytes.get(ENCODING)? == DENSE;
    let registers = bytes.get_mut(HEADER..)?.try_into().ok()?;
    is_dense.then_some(registers)
}

/// Gives it the dense form; true if it had the other one.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<bool, Corrupted> {
    if encoding(bytes) != Some(Encoding::Sparse) {
        return Ok(false);
    }
    let registers = Registers::of(bytes)?;
    bytes.truncate(HEADER);
    bytes[ENCODING] = DENSE;
    bytes.reserve_exact(dense::LEN);
    bytes.extend_from_slice(&*registers.0);
    Ok(true)
}

// ------------------------------------------------------------------------------------------------ both forms

/// Raises a register; true if it was lower. The sparse form is given up for good where it has no room, or would take
/// more than `max_bytes`.
fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    max_bytes: usize,
) -> Result<bool, Corrupted> {
    if bytes[ENCODING] == SPARSE {
        if let Some(raised) = raise_sparse(bytes, index, value, max_bytes)? {
            return Ok(raised);
        }
        make_dense(bytes)?;
    }
    let registers = packed_mut(bytes).ok_or(Corrupted)?;
    Ok(dense::raise(registers, index, value))
}

/// Adds an element to what [`encoding`] accepts; true if that changed a register. Sparse: O(bytes), dense: O(1). The
/// count that was kept is left alone.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], max_bytes: usize) -> Result<bool, Corrupted> {
    let (index, value) = place(element);
    raise(bytes, index, value, max_bytes)
}

/// The runs of a sparse one as PFDEBUG DECODE shows them.
#[must_use]
pub fn describe(bytes: &[u8]) -> String {
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    let mut runs = Vec::new();
    while let Some((run, size)) = Run::read(rest) {
        runs.push(match run {
            Run::Values(value, len) => format!("v:{value},{len}"),
            Run::Zeros(len) if rest.first().is_some_and(|byte| byte & 0x40 != 0) => {
                format!("Z:{len}")
            }
            Run::Zeros(len) => format!("z:{len}"),
        });
        rest = rest.get(size..).unwrap_or_default();
    }
    runs.join(" ")
}

/// All registers in the dense form: what several HyperLogLogs make together.
#[derive(Debug)]
pub struct Registers(Box<dense::Packed>);

impl Default for Registers {
    fn default() -> Self {
        Self(Box::new([0; dense::LEN]))
    }
}

impl Registers {
    /// Those of one HyperLogLog.
    pub fn of(bytes: &[u8]) -> Result<Self, Corrupted> {
        if let Some(registers) = packed(bytes) {
            return Ok(Self(Box::new(*registers)));
        }
        let mut registers = Self::default();
        registers.merge(bytes)?;
        Ok(registers)
    }

    /// Raises each to that of `bytes`, which [`encoding`] accepts.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupted> {
        if let Some(others) = packed(bytes) {
            dense::merge(&mut self.0, others);
            return Ok(());
        }
        let mut index = 0;
        for run in runs(bytes) {
            let end = index + run.len();
            if end > REGISTERS {
                return Err(Corrupted);
            }
            if run.value() > 0 {
                (index..end).for_each(|index| {
                    dense::raise(&mut self.0, index, run.value());
                });
            }
            index = end;
        }
        if index == REGISTERS {
            Ok(())
        } else {
            Err(Corrupted)
        }
    }

    /// Gives these registers to `bytes`, which is empty or one of those that were merged.
    pub fn write_to(&self, bytes: &mut Vec<u8>, max_bytes: usize) -> Result<(), Corrupted> {
        if let Some(registers) = packed_mut(bytes) {
            *registers = *self.0;
            return Ok(());
        }
        for (index, value) in self.iter().enumerate().filter(|(_, value)| *value > 0) {
            raise(bytes, index, value, max_bytes)?;
        }
        Ok(())
    }

    /// The registers in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        dense::iter(&self.0)
    }

    /// The estimate.
    #[must_use]
    pub fn count(&self) -> u64 {
        estimate(&dense::histogram(&self.0))
    }
}

/// The estimate of one HyperLogLog that [`encoding`] accepts.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupted> {
    if let Some(registers) = packed(bytes) {
        return Ok(estimate(&dense::histogram(registers)));
    }
    let mut histogram = [0; HISTOGRAM];
    let mut registers = 0;
    for run in runs(bytes) {
        histogram[usize::from(run.value())] += run.len() as u32;
        registers += run.len();
        if registers > REGISTERS {
            return Err(Corrupted);
        }
    }
    if registers == REGISTERS {
        Ok(estimate(&histogram))
    } else {
        Err(Corrupted)
    }
}

// ------------------------------------------------------------------------------------------------ the estimate

/// Values that 6 bits can hold; those above the counted bits and one come from hostile bytes only.
const HISTOGRAM: usize = 1 << REGISTER_BITS;

/// How many registers have each value, turned into a number of elements.
fn estimate(histogram: &[u32; HISTOGRAM]) -> u64 {
    /// 1 / (2 ln 2).
    const BIAS: f64 = 0.721_347_520_444_481_7;
    let registers = REGISTERS as f64;
    let greatest = COUNTED_BITS as usize + 1;
    let mut sum = registers * tau((registers - f64::from(histogram[greatest])) / registers);
    for value in (1..greatest).rev() {
        sum = (sum + f64::from(histogram[value])) * 0.5;
    }
    sum += registers * sigma(f64::from(histogram[0]) / registers);
    (BIAS * registers * registers / sum).round() as u64
}

/// What empty registers add: x + the sum of x^(2^k) 2^(k-1).
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut factor, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * factor;
        factor += factor;
        if sum == before {
            return sum;
        }
    }
}

/// What full registers add: a third of 1 - x - the sum of (1 - x^(2^-k))² 2^-k.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut factor, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * factor;
        if sum == before {
            return sum / 3.0;
        }
    }
}

/// Checks the forms against each other and against sets of known sizes; what is wrong, if anything.
pub fn self_test() -> Result<(), String> {
    const ELEMENTS: u64 = 30_000;
    let (mut sparse, mut dense) = (new(), new());
    let corrupted = |Corrupted| "TESTFAILED a HyperLogLog of our own is corrupted".to_owned();
    make_dense(&mut dense).map_err(corrupted)?;
    for element in 1..=ELEMENTS {
        let bytes = element.to_le_bytes();
        let raised = add(&mut sparse, &bytes, 3000).map_err(corrupted)?;
        if add(&mut dense, &bytes, 0) != Ok(raised) {
            return Err(format!(
                "TESTFAILED sparse and dense disagree at element {element}"
            ));
        }
        if !element.is_power_of_two() && element != ELEMENTS {
            continue;
        }
        let count = count(&dense).map_err(corrupted)?;
        if count != self::count(&sparse).map_err(corrupted)? {
            return Err(format!(
                "TESTFAILED sparse and dense count {element} elements differently"
            ));
        }
        // Four times the standard error, and a few for small sets.
        let tolerance = element as f64 * 4.0 * 1.04 / (REGISTERS as f64).sqrt() + 2.0;
        if count.abs_diff(element) as f64 > tolerance {
            return Err(format!(
                "TESTFAILED Too big error. card:{element} count:{count}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
