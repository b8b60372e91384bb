//! `math.random` and `math.randomseed` as Redis has them: the generator of `lrand48`, so that a seed gives the same numbers
//! on every machine.

use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value};
use parking_lot::Mutex;

use super::arguments::Arguments;
use super::convert::cut_off;
use super::guard::{Checked, Raise, checked};

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
const MODULUS: u64 = i32::MAX as u64;

/// The state of the generator: 48 bits.
#[derive(Debug, Clone)]
struct Rand48(u64);

impl Rand48 {
    const fn seeded(seed: u32) -> Self {
        Self((seed as u64) << 16 | 0x330E)
    }

    /// A number from 0 (included) to 1 (excluded).
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        ((self.0 >> 17) % MODULUS) as f64 / MODULUS as f64
    }
}

/// Puts both functions into the table `math`.
pub(super) fn register(lua: &Lua, math: &Table, seed: u64) -> mlua::Result<()> {
    let state = Arc::new(Mutex::new(Rand48::seeded(seed as u32)));
    let shared = Arc::clone(&state);
    let random = move |lua: &Lua, args: MultiValue| random(lua, &args, shared.lock().next());
    math.raw_set("random", checked(lua, random)?)?;
    let seed = move |lua: &Lua, args: MultiValue| -> Checked {
        let seed = Arguments::new(lua, &args).number(1)?;
        *state.lock() = Rand48::seeded(cut_off(seed) as u32);
        Ok(MultiValue::new())
    };
    math.raw_set("randomseed", checked(lua, seed)?)
}

fn random(lua: &Lua, args: &MultiValue, part: f64) -> Checked {
    let arguments = Arguments::new(lua, args);
    let empty = |number| Raise::Argument(number, "interval is empty".into());
    let value = match arguments.len() {
        0 => part,
        1 => {
            let high = cut_off(arguments.number(1)?) as i32;
            if high < 1 {
                return Err(empty(1));
            }
            (part * f64::from(high)).floor() + 1.0
        }
        2 => {
            let (low, high) = (
                cut_off(arguments.number(1)?) as i32,
                cut_off(arguments.number(2)?) as i32,
            );
            if low > high {
                return Err(empty(2));
            }
            let width = f64::from(high) - f64::from(low) + 1.0;
            (part * width).floor() + f64::from(low)
        }
        _ => return Err(Raise::Text("wrong number of arguments".into())),
    };
    Ok(MultiValue::from_iter([Value::Number(value)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_of_lrand48() {
        let mut generator = Rand48::seeded(10);
        assert!((generator.next() - 0.878_851_123_097_75).abs() < 1e-13);
        assert_eq!((generator.next() * 10.0).floor() + 1.0, 8.0);
    }
}
