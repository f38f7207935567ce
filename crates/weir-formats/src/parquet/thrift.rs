//! What Thrift's compact protocol says of a footer and of page headers, looked
//! at without building anything: the library allocates and calls itself as the
//! bytes tell it to, so they are held against bounds first.

/// Nested values that are passed over at most.
const MAX_NESTING: usize = 64;

const I32: u8 = 5;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Why the bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// They end too soon.
    Short,
    /// They are not what they should be.
    Bad,
}

type Read<T> = Result<T, Unread>;

/// What a footer holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    /// Columns of the schema, fields of nested ones included.
    pub(super) leaves: usize,
    /// Entries of the schema.
    pub(super) elements: usize,
    /// How deep the schema nests, its root aside.
    pub(super) depth: usize,
    /// Row groups.
    pub(super) groups: usize,
    /// Columns of all row groups together.
    pub(super) chunks: usize,
}

/// What kind of page comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// Values.
    Data,
    /// The values of a dictionary.
    Dictionary,
    /// Anything else, which readers pass over or refuse.
    Other,
}

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) kind: PageKind,
    pub(super) unpacked: i64,
    pub(super) packed: i64,
    pub(super) values: i64,
    pub(super) encoding: i64,
    /// Bytes of levels in front, which are not packed, and whether the rest is.
    pub(super) levels: i64,
    pub(super) is_packed: bool,
    /// Bytes of the header itself.
    pub(super) length: usize,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Read<u8> {
        let byte = self.bytes.get(self.at).copied().ok_or(Unread::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_bytes(&mut self, count: u64) -> Read<()> {
        let left = (self.bytes.len() - self.at) as u64;
        if count > left {
            return Err(Unread::Short);
        }
        self.at += count as usize;
        Ok(())
    }

    fn varint(&mut self) -> Read<u64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unread::Bad)
    }

    fn integer(&mut self) -> Read<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// The value of a field that must be a 32-bit integer.
    fn whole(&mut self, kind: u8) -> Read<i64> {
        match kind {
            I32 => self.integer(),
            _ => Err(Unread::Bad),
        }
    }

    /// Type and id of the next field of a struct; nothing at its end.
    fn field(&mut self, last: i16) -> Read<Option<(u8, i16)>> {
        let head = self.byte()?;
        let (delta, kind) = (head >> 4, head & 0x0f);
        if kind == 0 {
            return Ok(None);
        }
        let id = match delta {
            0 => i16::try_from(self.integer()?).map_err(|_| Unread::Bad)?,
            delta => last.checked_add(i16::from(delta)).ok_or(Unread::Bad)?,
        };
        Ok(Some((kind, id)))
    }

    /// Type and number of the items of a list. Each takes a byte at least, so
    /// more than there are bytes is a lie.
    fn list(&mut self) -> Read<(u8, usize)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            short => u64::from(short),
        };
        let left = (self.bytes.len() - self.at) as u64;
        if count > left {
            return Err(Unread::Short);
        }
        Ok((head & 0x0f, count as usize))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Read<()> {
        if depth > MAX_NESTING {
            return Err(Unread::Bad);
        }
        match kind {
            1 | 2 => Ok(()),
            3 => self.skip_bytes(1),
            4..=6 => self.varint().map(drop),
            7 => self.skip_bytes(8),
            BINARY => {
                let length = self.varint()?;
                self.skip_bytes(length)
            }
            LIST | SET => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_item(kind, depth))
            }
            MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                if count > (self.bytes.len() - self.at) as u64 {
                    return Err(Unread::Short);
                }
                (0..count).try_for_each(|_| {
                    self.skip_item(kinds >> 4, depth)?;
                    self.skip_item(kinds & 0x0f, depth)
                })
            }
            STRUCT => self.fields(|cursor, kind, _| cursor.skip(kind, depth + 1)),
            _ => Err(Unread::Bad),
        }
    }

    /// In a list a boolean is a byte; in a struct its type says it all.
    fn skip_item(&mut self, kind: u8, depth: usize) -> Read<()> {
        match kind {
            1 | 2 => self.skip_bytes(1),
            kind => self.skip(kind, depth + 1),
        }
    }

    /// Calls `take`, which must pass over the value, with each field of a struct.
    fn fields(&mut self, mut take: impl FnMut(&mut Self, u8, i16) -> Read<()>) -> Read<()> {
        let mut last = 0;
        while let Some((kind, id)) = self.field(last)? {
            take(self, kind, id)?;
            last = id;
        }
        Ok(())
    }

    fn items(&mut self, mut take: impl FnMut(&mut Self) -> Read<()>) -> Read<usize> {
        let (kind, count) = self.list()?;
        if kind != STRUCT && count > 0 {
            return Err(Unread::Bad);
        }
        (0..count).try_for_each(|_| take(self))?;
        Ok(count)
    }
}

/// What a footer holds, before it is read.
pub(super) fn outline(bytes: &[u8]) -> Read<Outline> {
    let mut outline = Outline::default();
    let mut cursor = Cursor { bytes, at: 0 };
    // Children that are still to come, of each group that is open.
    let mut open: Vec<i64> = Vec::new();
    cursor.fields(|cursor, kind, id| match (kind, id) {
        // Readers go by the id alone.
        (kind, 2 | 4) if kind != LIST => Err(Unread::Bad),
        (_, 2) => {
            let count = cursor.items(|cursor| {
                let children = children_of(cursor)?;
                while open.pop_if(|left| *left <= 0).is_some() {}
                if let Some(left) = open.last_mut() {
                    *left -= 1;
                }
                outline.depth = outline.depth.max(open.len());
                match children {
                    ..=0 => outline.leaves += 1,
                    children => open.push(children),
                }
                Ok(())
            })?;
            outline.elements += count;
            Ok(())
        }
        (_, 4) => {
            outline.groups += cursor.items(|cursor| {
                cursor.fields(|cursor, kind, id| match (kind, id) {
                    (kind, 1) if kind != LIST => Err(Unread::Bad),
                    (_, 1) => {
                        outline.chunks += cursor.items(|cursor| cursor.skip(STRUCT, 0))?;
                        Ok(())
                    }
                    (kind, _) => cursor.skip(kind, 0),
                })
            })?;
            Ok(())
        }
        (kind, _) => cursor.skip(kind, 0),
    })?;
    Ok(outline)
}

/// `num_children` of an entry of the schema.
fn children_of(cursor: &mut Cursor<'_>) -> Read<i64> {
    let mut children = 0;
    cursor.fields(|cursor, kind, id| {
        if id == 5 {
            children = cursor.whole(kind)?;
            return Ok(());
        }
        cursor.skip(kind, 0)
    })?;
    Ok(children)
}

/// The header of a page at the start of `bytes`.
pub(super) fn page_header(bytes: &[u8]) -> Read<PageHeader> {
    let mut cursor = Cursor { bytes, at: 0 };
    let (mut kind, mut unpacked, mut packed) = (None, None, None);
    let (mut values, mut encoding, mut levels, mut is_packed) = (0, -1, 0, true);
    cursor.fields(|cursor, of, id| match id {
        1 => cursor.whole(of).map(|value| kind = Some(value)),
        2 => cursor.whole(of).map(|value| unpacked = Some(value)),
        3 => cursor.whole(of).map(|value| packed = Some(value)),
        5 | 7 | 8 if of != STRUCT => Err(Unread::Bad),
        5 | 7 | 8 => cursor.fields(|cursor, of, field| match (id, field) {
            (_, 1) => cursor.whole(of).map(|value| values = value),
            (5 | 7, 2) | (8, 4) => cursor.whole(of).map(|value| encoding = value),
            (8, 5 | 6) => {
                levels = cursor.whole(of)?.saturating_add(levels);
                Ok(())
            }
            (8, 7) => {
                is_packed = of == 1;
                cursor.skip(of, 1)
            }
            _ => cursor.skip(of, 1),
        }),
        _ => cursor.skip(of, 0),
    })?;
    let (Some(kind), Some(unpacked), Some(packed)) = (kind, unpacked, packed) else {
        return Err(Unread::Bad);
    };
    Ok(PageHeader {
        kind: match kind {
            0 | 3 => PageKind::Data,
            2 => PageKind::Dictionary,
            _ => PageKind::Other,
        },
        unpacked,
        packed,
        values,
        encoding,
        levels,
        is_packed,
        length: cursor.at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_a_cut_one_is_short() {
        // Type 0, 100 bytes, 50 packed, {7 values, encoding 8}.
        let header = [
            0x15, 0x00, 0x15, 0xc8, 0x01, 0x15, 0x64, 0x2c, 0x15, 0x0e, 0x15, 0x10, 0x00, 0x00,
        ];
        let read = page_header(&header).unwrap();
        assert_eq!(
            (
                read.kind,
                read.unpacked,
                read.packed,
                read.values,
                read.encoding,
                read.length
            ),
            (PageKind::Data, 100, 50, 7, 8, header.len())
        );
        for cut in 0..header.len() {
            assert_eq!(page_header(&header[..cut]), Err(Unread::Short));
        }
    }

    #[test]
    fn lists_longer_than_the_bytes_and_deep_structs_are_refused() {
        assert_eq!(
            outline(&[0x29, 0xfc, 0xff, 0xff, 0xff, 0x0f]),
            Err(Unread::Short)
        );
        assert_eq!(outline(&[0x5c; 1_000]), Err(Unread::Bad));
        assert_eq!(outline(&[0x00]), Ok(Outline::default()));
    }
}
