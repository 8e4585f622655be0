//! Writes the binary form of Protobuf: fields one after the other, each with its number and its wire type. Pure. Knows no messages.

/// The bytes of a message.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

/// How a field's value is written.
#[derive(Debug, Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    /// Its length, then that many bytes.
    Bytes = 2,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn bytes_so_far(&self) -> &[u8] {
        &self.0
    }

    /// Adds fields that are written already.
    pub(crate) fn written(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    pub(crate) fn number(&mut self, field: u32, value: u64) {
        self.tag(field, Wire::Varint);
        self.varint(value);
    }

    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, Wire::Fixed64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes or a text.
    pub(crate) fn bytes(&mut self, field: u32, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.tag(field, Wire::Bytes);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message as the value of a field. Its length is known only after it was written, and is then moved before it.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.tag(field, Wire::Bytes);
        let begin = self.0.len();
        write(self);
        let end = self.0.len();
        self.varint((end - begin) as u64);
        let length_size = self.0.len() - end;
        if let Some(written) = self.0.get_mut(begin..) {
            written.rotate_right(length_size);
        }
    }

    fn tag(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field << 3 | wire as u32));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            let [low, ..] = value.to_le_bytes();
            self.0.push(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.0.push(low);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The fields of a message that have bytes, with their numbers.
    pub(crate) fn fields(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let size = match tag & 7 {
                0 => {
                    varint(&mut bytes);
                    continue;
                }
                1 => 8,
                _ => usize::try_from(varint(&mut bytes)).unwrap(),
            };
            let (value, rest) = bytes.split_at(size);
            found.push((u32::try_from(tag >> 3).unwrap(), value));
            bytes = rest;
        }
        found
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let size = 1 + bytes.iter().position(|byte| *byte < 0x80).unwrap();
        let (number, rest) = bytes.split_at(size);
        *bytes = rest;
        number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }

    #[test]
    fn fields_are_written_as_the_specification_shows_them() {
        let mut out = Writer::default();
        // The examples of https://protobuf.dev/programming-guides/encoding/.
        out.number(1, 150);
        out.bytes(2, "testing");
        out.message(3, |out| out.number(1, 150));
        assert_eq!(out.into_bytes(), b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01");
    }

    #[test]
    fn a_long_message_has_its_length_before_it() {
        let mut out = Writer::default();
        out.message(16, |out| {
            out.message(1, |out| out.bytes(1, [7; 300]));
            out.fixed64(2, 0x0102_0304_0506_0708);
        });
        let head = [0x82, 0x01, 0xbb, 0x02, 0x0a, 0xaf, 0x02, 0x0a, 0xac, 0x02];
        let tail = [0x11, 8, 7, 6, 5, 4, 3, 2, 1];
        assert_eq!(out.into_bytes(), [&head[..], &[7; 300], &tail].concat());
    }
}
