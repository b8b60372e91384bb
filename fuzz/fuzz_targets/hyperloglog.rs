//! Hostile bytes as a HyperLogLog: they are counted, merged and added to, or refused, but never trusted.
#![no_main]

use innkeep::value::hyperloglog::{self, Registers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut bytes = hyperloglog::new();
    bytes.truncate(16);
    bytes.extend_from_slice(input);
    let registers = Registers::of(&bytes);
    assert_eq!(hyperloglog::count(&bytes).is_ok(), registers.is_ok());
    let _ = hyperloglog::describe(&bytes);
    for element in 0_u16..64 {
        let added = hyperloglog::add(&mut bytes, &element.to_le_bytes(), 3000);
        assert!(added.is_ok() || registers.is_err());
    }
    if let Ok(mut registers) = registers {
        assert!(registers.merge(&bytes).is_ok());
        assert!(registers.write_to(&mut bytes, 3000).is_ok());
        assert!(hyperloglog::make_dense(&mut bytes).is_ok());
    }
});
