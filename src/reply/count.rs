//! A sink that keeps nothing: for callers that want a command's effect and not its answer. Knows no protocol.

use super::Reply;

/// Discards replies and counts them: values of any kind, those inside aggregates too, and the errors among them.
#[derive(Debug, Default)]
pub struct SinkReply {
    values: u64,
    errors: u64,
}

impl SinkReply {
    /// A sink that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values were written, aggregates and what is in them both counted.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.values
    }

    /// How many of the values were errors.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }
}

impl Reply for SinkReply {
    fn is_resp3(&self) -> bool {
        false
    }

    fn simple(&mut self, _text: &str) {
        self.values += 1;
    }

    fn error(&mut self, _text: &str) {
        self.values += 1;
        self.errors += 1;
    }

    fn int(&mut self, _value: i64) {
        self.values += 1;
    }

    fn bulk(&mut self, _bytes: &[u8]) {
        self.values += 1;
    }

    fn bulk_int(&mut self, _value: i64) {
        self.values += 1;
    }

    fn null(&mut self) {
        self.values += 1;
    }

    fn null_array(&mut self) {
        self.values += 1;
    }

    fn array(&mut self, _len: usize) {
        self.values += 1;
    }

    fn map(&mut self, _pairs: usize) {
        self.values += 1;
    }

    fn set(&mut self, _len: usize) {
        self.values += 1;
    }

    fn push(&mut self, _len: usize) {
        self.values += 1;
    }

    fn attribute(&mut self, _pairs: usize) {
        self.values += 1;
    }

    fn double(&mut self, _value: f64) {
        self.values += 1;
    }

    fn bool(&mut self, _value: bool) {
        self.values += 1;
    }

    fn big_number(&mut self, _digits: &str) {
        self.values += 1;
    }

    fn verbatim(&mut self, _format: &str, _bytes: &[u8]) {
        self.values += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_values_and_errors() {
        let mut sink = SinkReply::new();
        sink.array(2);
        sink.int(1);
        sink.error("ERR no");
        sink.ok();
        assert_eq!((sink.values(), sink.errors()), (4, 1));
    }
}
