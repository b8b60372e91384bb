//! Hostile requests: no panic, and the same commands and the same error however the bytes are cut into fragments.
#![no_main]

use innkeep::request::{Parsed, Parser, ProtocolError};
use libfuzzer_sys::fuzz_target;

type Seen = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

fn collect<'a>(fragments: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut parser = Parser::new();
    let mut buffer = Vec::new();
    let mut commands = Vec::new();
    let mut args = Vec::new();
    for fragment in fragments {
        buffer.extend_from_slice(fragment);
        loop {
            args.clear();
            let consumed = match parser.parse(&buffer, &mut args) {
                Ok(Parsed::Complete { consumed }) => {
                    commands.push(
                        args.iter()
                            .map(|range| buffer[range.clone()].to_vec())
                            .collect(),
                    );
                    consumed
                }
                Ok(Parsed::Inline { consumed, args }) => {
                    commands.push(args);
                    consumed
                }
                Ok(Parsed::Empty { consumed }) => consumed,
                Ok(Parsed::Incomplete { need_at_least }) => {
                    assert!(need_at_least > buffer.len());
                    break;
                }
                Err(error) => return (commands, Some(error)),
            };
            buffer.drain(..consumed);
        }
    }
    (commands, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = collect(std::iter::once(bytes));
    // Where a line has no end in 64 KiB, the error depends on how much of it was seen at once.
    if bytes.len() <= 64 * 1024 {
        assert_eq!(whole, collect(bytes.chunks(usize::from(size).max(1))));
    }
});
