//! One value by itself, as DUMP gives it out and RESTORE takes it. Knows no keys.
//!
//! ```text
//! type | value | version (u16 LE) | CRC-64 of all before (u64 LE)
//! ```

use super::encoder::{Encoder, type_of};
use super::reader::MAX_VERSION;
use super::source::Source;
use super::writer::version;
use super::{Problem, crc64};
use crate::keyspace::{Limits, Value, ValueRef};

/// Version and checksum.
const FOOTER_LEN: usize = 2 + 8;

/// Why a payload is refused.
#[derive(Debug)]
pub enum PayloadError {
    /// Its version is newer than what can be read, or its checksum is wrong: it is none, or damaged.
    Footer,
    /// Its version and its checksum are good, and its content is none.
    Content(Problem),
}

/// A value as a payload. O(size of the value).
#[must_use]
pub fn dump(value: ValueRef<'_>, compress: bool) -> Vec<u8> {
    let mut out = vec![type_of(&value)];
    let has_field_times = matches!(&value, ValueRef::Hash(hash) if hash.next_time().is_some());
    Encoder::new(compress).value(&mut out, value);
    out.extend(version(has_field_times).to_le_bytes());
    out.extend(crc64::update(0, &out).to_le_bytes());
    out
}

/// The value of a payload, in the form that `limits` ask for; none for an empty collection. With `ignore_checksum` the
/// checksum is not looked at.
///
/// # Errors
/// The bytes are no payload, damaged, or hold what cannot be loaded.
pub fn restore(
    payload: &[u8],
    limits: &Limits,
    ignore_checksum: bool,
) -> Result<Option<Value>, PayloadError> {
    let at = payload.len().checked_sub(FOOTER_LEN);
    let (body, footer) = at
        .and_then(|at| payload.split_at_checked(at))
        .ok_or(PayloadError::Footer)?;
    let (version, checksum) = footer
        .split_first_chunk()
        .and_then(|(version, rest)| Some((*version, *rest.first_chunk()?)))
        .ok_or(PayloadError::Footer)?;
    if u32::from(u16::from_le_bytes(version)) > MAX_VERSION {
        return Err(PayloadError::Footer);
    }
    let signed = payload.get(..body.len() + size_of_val(&version));
    let computed = crc64::update(0, signed.unwrap_or_default());
    if !ignore_checksum && computed != u64::from_le_bytes(checksum) {
        return Err(PayloadError::Footer);
    }
    content(body, limits).map_err(PayloadError::Content)
}

fn content(body: &[u8], limits: &Limits) -> Result<Option<Value>, Problem> {
    let mut nothing = std::io::empty();
    let mut source = Source::of(body, 0, &mut nothing);
    let kind = source.byte()?;
    let value = source.value(kind, limits)?;
    // As Redis, which loads a value and does not ask whether more stands behind it.
    Ok(value)
}
