//! The append-only log on disk. Payloads are opaque here: nothing knows a command or a key.
