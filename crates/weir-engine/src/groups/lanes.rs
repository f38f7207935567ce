//! Columns of a key as lanes of words or bytes, in which equal values are equal
//! bits, and several of them packed into 16 bytes a row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, BinaryViewArray, Float64Array,
    GenericByteArray, LargeBinaryArray, LargeStringArray, StringArray, StringViewArray, make_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ByteArrayType, DataType, Float64Type, Int32Type, Int64Type};
use arrow::row::{RowConverter, SortField};
use weir_core::evaluate::comparable;
use weir_core::{Error, Result};

/// One column of a key.
pub(crate) enum Lane {
    /// Values of fixed width.
    Fixed(Vec<u64>, Option<NullBuffer>),
    /// Values of any length.
    Bytes(Bytes),
}

/// A column of bytes.
pub(crate) enum Bytes {
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    BinaryView(BinaryViewArray),
    /// Whatever else, encoded; the nulls of the column itself are beside it.
    Encoded(BinaryArray, Option<NullBuffer>),
}

impl Lane {
    /// Where the column is null.
    pub(crate) fn nulls(&self) -> Option<&NullBuffer> {
        match self {
            Lane::Fixed(_, nulls) | Lane::Bytes(Bytes::Encoded(_, nulls)) => nulls.as_ref(),
            Lane::Bytes(Bytes::Text(array)) => array.nulls(),
            Lane::Bytes(Bytes::LargeText(array)) => array.nulls(),
            Lane::Bytes(Bytes::TextView(array)) => array.nulls(),
            Lane::Bytes(Bytes::Binary(array)) => array.nulls(),
            Lane::Bytes(Bytes::LargeBinary(array)) => array.nulls(),
            Lane::Bytes(Bytes::BinaryView(array)) => array.nulls(),
        }
    }

    /// Adds the value of a row in a form that tells where it ends.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(&u64::MAX.to_le_bytes());
            return;
        }
        match self {
            Lane::Fixed(words, _) => {
                out.extend_from_slice(&8_u64.to_le_bytes());
                out.extend_from_slice(&words[row].to_le_bytes());
            }
            Lane::Bytes(bytes) => {
                let value = bytes.value(row);
                out.extend_from_slice(&(value.len() as u64).to_le_bytes());
                out.extend_from_slice(value);
            }
        }
    }
}

impl Bytes {
    pub(crate) fn value(&self, row: usize) -> &[u8] {
        match self {
            Bytes::Text(array) => array.value(row).as_bytes(),
            Bytes::LargeText(array) => array.value(row).as_bytes(),
            Bytes::TextView(array) => array.value(row).as_bytes(),
            Bytes::Binary(array) | Bytes::Encoded(array, _) => array.value(row),
            Bytes::LargeBinary(array) => array.value(row),
            Bytes::BinaryView(array) => array.value(row),
        }
    }
}

/// A column as a lane. The order of values is not kept, their equality is.
pub(crate) fn lane(column: &ArrayRef) -> Result<Lane> {
    use DataType as T;
    let bytes = |bytes| Ok(Lane::Bytes(bytes));
    match column.data_type() {
        T::Dictionary(_, values) => lane(&cast(column, values)?),
        T::Null => {
            let nulls = NullBuffer::new_null(column.len());
            Ok(Lane::Fixed(vec![0; column.len()], Some(nulls)))
        }
        T::Int64 | T::UInt64 | T::Date64 | T::Time64(_) | T::Timestamp(_, _) | T::Duration(_) => {
            let longs = relabelled(column, T::Int64)?;
            let longs = longs.as_primitive::<Int64Type>();
            let words = longs.values().iter().map(|value| *value as u64).collect();
            Ok(Lane::Fixed(words, longs.nulls().cloned()))
        }
        T::Int32 | T::UInt32 | T::Date32 | T::Time32(_) => ints(&relabelled(column, T::Int32)?),
        T::Boolean | T::Int8 | T::Int16 | T::UInt8 | T::UInt16 => ints(&cast(column, &T::Int32)?),
        T::Float16 | T::Float32 | T::Float64 => {
            let floats = comparable(column, &T::Float64)?;
            let floats: &Float64Array = floats.as_primitive::<Float64Type>();
            let words = floats
                .values()
                .iter()
                .map(|value| value.to_bits())
                .collect();
            Ok(Lane::Fixed(words, floats.nulls().cloned()))
        }
        T::Utf8 => bytes(Bytes::Text(column.as_string().clone())),
        T::LargeUtf8 => bytes(Bytes::LargeText(column.as_string().clone())),
        T::Utf8View => bytes(Bytes::TextView(column.as_string_view().clone())),
        T::Binary => bytes(Bytes::Binary(column.as_binary().clone())),
        T::LargeBinary => bytes(Bytes::LargeBinary(column.as_binary().clone())),
        T::BinaryView => bytes(Bytes::BinaryView(column.as_binary_view().clone())),
        _ => bytes(Bytes::Encoded(
            encoded(std::slice::from_ref(column))?,
            column.logical_nulls(),
        )),
    }
}

/// The same bits under another type of the same width.
fn relabelled(column: &ArrayRef, data_type: DataType) -> Result<ArrayRef> {
    if *column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    let data = column.to_data().into_builder().data_type(data_type);
    Ok(make_array(data.build()?))
}

fn ints(column: &ArrayRef) -> Result<Lane> {
    let ints = column.as_primitive::<Int32Type>();
    let words = ints.values().iter().map(|value| i64::from(*value) as u64);
    Ok(Lane::Fixed(words.collect(), ints.nulls().cloned()))
}

/// The rows of `columns` as bytes that sort as the rows do, nulls first.
pub(crate) fn encoded(columns: &[ArrayRef]) -> Result<BinaryArray> {
    let columns = columns.iter().map(plain).collect::<Result<Vec<_>>>()?;
    let converter = converter(columns.iter().map(|column| column.data_type()))?;
    Ok(converter.convert_columns(&columns)?.try_into_binary()?)
}

/// What turns columns of these types into rows of bytes and back.
pub(crate) fn converter<'a>(types: impl Iterator<Item = &'a DataType>) -> Result<RowConverter> {
    let fields: Vec<SortField> = types.map(|t| SortField::new(t.clone())).collect();
    RowConverter::new(fields).map_err(|error| {
        Error::unsupported("values of this type cannot be compared with each other").detail(error)
    })
}

/// A column in which equal values are equal: −0.0 is 0.0, NaN is null,
/// dictionaries are what they stand for.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Dictionary(_, values) => plain(&cast(column, values)?),
        data_type if data_type.is_floating() => comparable(column, &DataType::Float64),
        data_type if data_type.is_nested() => unsigned_zeros(column),
        _ => Ok(Arc::clone(column)),
    }
}

/// Makes 0.0 of −0.0 inside of lists and structures.
fn unsigned_zeros(column: &ArrayRef) -> Result<ArrayRef> {
    use DataType as T;
    match column.data_type() {
        data_type if data_type.is_floating() => {
            let floats = cast(column, &T::Float64)?;
            let floats = floats.as_primitive::<Float64Type>();
            let floats: Float64Array = floats.unary(|value| value + 0.0);
            Ok(cast(&floats, data_type)?)
        }
        T::List(_) | T::LargeList(_) | T::FixedSizeList(_, _) | T::Struct(_) | T::Map(_, _) => {
            let data = column.to_data();
            let child = |child: &ArrayData| -> Result<ArrayData> {
                Ok(unsigned_zeros(&make_array(child.clone()))?.to_data())
            };
            let children = data.child_data().iter().map(child);
            let children = children.collect::<Result<Vec<_>>>()?;
            let data = data.into_builder().child_data(children);
            Ok(make_array(data.build()?))
        }
        _ => Ok(Arc::clone(column)),
    }
}

/// Keys of up to 16 bytes.
pub(crate) struct Packed {
    keys: Vec<u128>,
    /// Bytes of the key in use.
    used: Vec<u8>,
}

/// Bytes of a packed key.
const ROOM: usize = 16;

/// The key does not fit.
const TOO_LONG: u8 = u8::MAX;

/// The tag of null; others are lengths.
const NULL: u8 = 0xff;

impl Packed {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<[u64; 2]> {
        if self.used[row] == TOO_LONG {
            return None;
        }
        let key = self.keys[row];
        Some([key as u64, (key >> 64) as u64])
    }

    /// Adds `len` bytes of `word` behind their tag.
    #[inline]
    fn put(&mut self, row: usize, tag: u8, word: u128, len: usize) {
        let at = usize::from(self.used[row]);
        // What is too long stays so.
        if at + 1 + len > ROOM {
            self.used[row] = TOO_LONG;
            return;
        }
        self.keys[row] |= ((word << 8) | u128::from(tag)) << (8 * at);
        self.used[row] = (at + 1 + len) as u8;
    }
}

/// The keys of all rows, each value behind a tag with its length.
pub(crate) fn pack(lanes: &[Lane], rows: usize) -> Packed {
    let mut packed = Packed {
        keys: vec![0; rows],
        used: vec![0; rows],
    };
    for lane in lanes {
        match lane {
            Lane::Fixed(words, nulls) => pack_words(words, nulls.as_ref(), &mut packed),
            Lane::Bytes(Bytes::Text(array)) => pack_bytes(array, &mut packed),
            Lane::Bytes(Bytes::LargeText(array)) => pack_bytes(array, &mut packed),
            Lane::Bytes(Bytes::Binary(array)) => pack_bytes(array, &mut packed),
            Lane::Bytes(Bytes::LargeBinary(array)) => pack_bytes(array, &mut packed),
            Lane::Bytes(bytes) => pack_each(bytes, lane.nulls(), &mut packed, rows),
        }
    }
    packed
}

/// Numbers near 0 take few bytes; so do floats with few digits.
fn pack_words(words: &[u64], nulls: Option<&NullBuffer>, packed: &mut Packed) {
    for (row, word) in words.iter().enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            packed.put(row, NULL, 0, 0);
            continue;
        }
        let signed = *word as i64;
        let near = ((signed << 1) ^ (signed >> 63)) as u64;
        let short = near.min(word.swap_bytes());
        let len = (64 - short.leading_zeros()).div_ceil(8) as usize;
        // Bit 6 tells the two forms apart.
        let tag = len as u8 | if short == near { 0 } else { 0x40 };
        packed.put(row, tag, u128::from(short), len);
    }
}

fn pack_bytes<T: ByteArrayType>(array: &GenericByteArray<T>, packed: &mut Packed) {
    use arrow::buffer::OffsetBuffer;
    let offsets: &OffsetBuffer<T::Offset> = array.offsets();
    let data = array.value_data();
    let nulls = array.nulls();
    for (row, ends) in offsets.windows(2).enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            packed.put(row, NULL, 0, 0);
            continue;
        }
        use arrow::datatypes::ArrowNativeType;
        let value = &data[ends[0].as_usize()..ends[1].as_usize()];
        pack_value(value, row, packed);
    }
}

fn pack_each(bytes: &Bytes, nulls: Option<&NullBuffer>, packed: &mut Packed, rows: usize) {
    for row in 0..rows {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            packed.put(row, NULL, 0, 0);
        } else {
            pack_value(bytes.value(row), row, packed);
        }
    }
}

#[inline]
fn pack_value(value: &[u8], row: usize, packed: &mut Packed) {
    match value.len() {
        len @ 0..ROOM => packed.put(row, len as u8, word_of(value), len),
        _ => packed.used[row] = TOO_LONG,
    }
}

/// Up to 15 bytes as a number, little end first.
#[inline]
fn word_of(value: &[u8]) -> u128 {
    let len = value.len();
    if let (Some(first), Some(last)) = (value.first_chunk::<8>(), value.last_chunk::<8>()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        return u128::from(first) | u128::from(last) << (8 * (len - 8));
    }
    if let (Some(first), Some(last)) = (value.first_chunk::<4>(), value.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u128::from(u64::from(first) | u64::from(last) << (8 * (len - 4)));
    }
    let byte = |at: usize| u64::from(value[at]) << (8 * at);
    match len {
        0 => 0,
        _ => u128::from(byte(0) | byte(len / 2) | byte(len - 1)),
    }
}
