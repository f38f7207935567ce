//! The types of columns, as the library tells them.

use crate::library::{take_text, text};
use crate::raw::{Api, Handle};

/// Types by their number in the interface; one that is not here is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named as in DuckDB's documentation")]
pub enum Type {
    Boolean,
    TinyInt,
    SmallInt,
    Integer,
    BigInt,
    UTinyInt,
    USmallInt,
    UInteger,
    UBigInt,
    Float,
    Double,
    Timestamp,
    Date,
    Time,
    Interval,
    HugeInt,
    Varchar,
    Blob,
    Decimal,
    TimestampS,
    TimestampMs,
    TimestampNs,
    Enum,
    List,
    Struct,
    Map,
    Uuid,
    Union,
    Bit,
    TimeTz,
    TimestampTz,
    UHugeInt,
    Array,
    BigNum,
    Null,
    TimeNs,
    Other,
}

/// Numbers of the interface.
const NUMBERS: [(i32, Type); 36] = [
    (1, Type::Boolean),
    (2, Type::TinyInt),
    (3, Type::SmallInt),
    (4, Type::Integer),
    (5, Type::BigInt),
    (6, Type::UTinyInt),
    (7, Type::USmallInt),
    (8, Type::UInteger),
    (9, Type::UBigInt),
    (10, Type::Float),
    (11, Type::Double),
    (12, Type::Timestamp),
    (13, Type::Date),
    (14, Type::Time),
    (15, Type::Interval),
    (16, Type::HugeInt),
    (17, Type::Varchar),
    (18, Type::Blob),
    (19, Type::Decimal),
    (20, Type::TimestampS),
    (21, Type::TimestampMs),
    (22, Type::TimestampNs),
    (23, Type::Enum),
    (24, Type::List),
    (25, Type::Struct),
    (26, Type::Map),
    (27, Type::Uuid),
    (28, Type::Union),
    (29, Type::Bit),
    (30, Type::TimeTz),
    (31, Type::TimestampTz),
    (32, Type::UHugeInt),
    (33, Type::Array),
    (35, Type::BigNum),
    (36, Type::Null),
    (39, Type::TimeNs),
];

/// How deep types are followed; deeper ones are [`Type::Other`].
const MAX_DEPTH: usize = 32;

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logical {
    /// Which type it is.
    pub kind: Type,
    /// The name that it goes by, such as `JSON` for text.
    pub alias: Option<String>,
    /// Digits and places of a [`Type::Decimal`].
    pub decimal: (u8, u8),
    /// Items of a [`Type::Array`].
    pub size: u64,
    /// Item of a list or array, named ones of a struct.
    pub children: Vec<(String, Logical)>,
}

impl Logical {
    /// A type without any parts.
    pub fn plain(kind: Type) -> Self {
        Logical {
            kind,
            alias: None,
            decimal: (0, 0),
            size: 0,
            children: Vec::new(),
        }
    }

    /// Reads a type and frees its handle.
    ///
    /// # Safety
    ///
    /// `handle` is null or a logical type that nobody else frees.
    pub(crate) unsafe fn take(api: &Api, handle: Handle) -> Self {
        // SAFETY: as promised.
        unsafe { Logical::take_at(api, handle, 0) }
    }

    unsafe fn take_at(api: &Api, mut handle: Handle, depth: usize) -> Self {
        if handle.is_null() {
            return Logical::plain(Type::Other);
        }
        // SAFETY: the handle is ours and freed at the end; the calls that ask about
        // parts are made for the types that have them.
        unsafe {
            let number = (api.type_id)(handle);
            let found = NUMBERS.iter().find(|(known, _)| *known == number);
            let mut kind = found.map_or(Type::Other, |(_, kind)| *kind);
            if depth > MAX_DEPTH {
                kind = Type::Other;
            }
            let mut logical = Logical {
                alias: take_text(api, (api.type_alias)(handle)),
                ..Logical::plain(kind)
            };
            let child = |handle| Logical::take_at(api, handle, depth + 1);
            match kind {
                Type::Decimal => {
                    logical.decimal = ((api.decimal_width)(handle), (api.decimal_scale)(handle));
                }
                Type::List => {
                    let item = child((api.list_child)(handle));
                    logical.children = vec![("item".to_owned(), item)];
                }
                Type::Array => {
                    logical.size = (api.array_size)(handle);
                    let item = child((api.array_child)(handle));
                    logical.children = vec![("item".to_owned(), item)];
                }
                Type::Struct => {
                    for index in 0..(api.struct_count)(handle) {
                        let name = take_text(api, (api.struct_name)(handle, index));
                        let part = child((api.struct_child)(handle, index));
                        logical.children.push((name.unwrap_or_default(), part));
                    }
                }
                _ => {}
            }
            (api.destroy_type)(&raw mut handle);
            logical
        }
    }
}

/// Name and type of each column, asked for one by one.
///
/// # Safety
///
/// `name` and `kind` may be called for every index below `count`; the type is the
/// caller's to free, the name is not.
pub(crate) unsafe fn columns(
    api: &Api,
    count: u64,
    name: impl Fn(u64) -> *const std::ffi::c_char,
    kind: impl Fn(u64) -> Handle,
) -> Vec<(String, Logical)> {
    (0..count)
        .map(|index| {
            // SAFETY: as promised.
            unsafe { (text(name(index)), Logical::take(api, kind(index))) }
        })
        .collect()
}
