//! Thrift's compact protocol, written by hand: what no writer would write.

/// A struct on its way.
#[derive(Default)]
pub struct Struct {
    bytes: Vec<u8>,
    last: i16,
}

pub fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

impl Struct {
    fn field(&mut self, id: i16, kind: u8) {
        let delta = u8::try_from(id - self.last).unwrap();
        assert!((1..16).contains(&delta));
        self.bytes.push(delta << 4 | kind);
        self.last = id;
    }

    pub fn int(mut self, id: i16, value: i64) -> Self {
        self.field(id, 5);
        varint(zigzag(value), &mut self.bytes);
        self
    }

    pub fn long(mut self, id: i16, value: i64) -> Self {
        self.field(id, 6);
        varint(zigzag(value), &mut self.bytes);
        self
    }

    pub fn text(mut self, id: i16, text: &str) -> Self {
        self.field(id, 8);
        varint(text.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    pub fn inner(mut self, id: i16, inner: Struct) -> Self {
        self.field(id, 12);
        self.bytes.extend(inner.end());
        self
    }

    /// A list of `kind` that says it has `count` items, and these bytes.
    pub fn list(mut self, id: i16, kind: u8, count: usize, items: &[u8]) -> Self {
        self.field(id, 9);
        if count < 15 {
            self.bytes.push((count as u8) << 4 | kind);
        } else {
            self.bytes.push(0xf0 | kind);
            varint(count as u64, &mut self.bytes);
        }
        self.bytes.extend_from_slice(items);
        self
    }

    pub fn structs(self, id: i16, items: Vec<Struct>) -> Self {
        let count = items.len();
        let bytes: Vec<u8> = items.into_iter().flat_map(Struct::end).collect();
        self.list(id, 12, count, &bytes)
    }

    pub fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}
