//! Arrow in: a stream, or a file, which is a stream between two magic words.
//!
//! Every length is held against the limits before anything of that size is
//! allocated, and Arrow's own reader runs where its panics become errors: it
//! has many for what it does not expect.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, make_array,
};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::{Message, MessageHeader, root_as_message};
use weir_core::task::guarded;
use weir_core::{Error, Kind, Result};

use super::plan::{Meter, data_error, too_many_columns};
use super::{DecodeOptions, Decoder};
use crate::plain::plain_type;

/// Bytes of a message's own description: a schema of 10,000 wide columns fits.
const MAX_HEADER: usize = 16 << 20;

/// Bytes of the data behind one message.
const MAX_BODY: usize = 512 << 20;

const MAGIC: &[u8] = b"ARROW1";

/// Comes before the length of every message.
const MARK: [u8; 4] = [0xFF; 4];

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Stream or file?
    Start,
    /// Before the length of a message.
    Prefix,
    /// A message's description of this length.
    Header(usize),
    /// A message of this length with its data of that length.
    Body(usize, usize),
    End,
}

/// Reads Arrow streams and files.
pub(super) struct IpcDecoder {
    options: DecodeOptions,
    state: State,
    is_file: bool,
    /// The first message came.
    has_begun: bool,
    /// What has come and is not decoded.
    held: Vec<u8>,
    /// The last bytes of a file.
    tail: Vec<u8>,
    inner: StreamDecoder,
    /// The mark of the next message went to the reader already.
    is_marked: bool,
    schema: Option<SchemaRef>,
    places: Vec<usize>,
    meter: Meter,
}

fn too_large(what: String) -> Error {
    Error::new(Kind::TooLarge, what).hint("GET /v1/limits lists every limit")
}

fn malformed(what: impl Into<String>) -> Error {
    data_error(what).code("malformed")
}

fn unreadable(error: &ArrowError) -> Error {
    malformed("the arrow data is not valid").detail(error)
}

impl IpcDecoder {
    pub(super) fn new(options: DecodeOptions) -> Self {
        IpcDecoder {
            options,
            state: State::Start,
            is_file: false,
            has_begun: false,
            held: Vec::new(),
            tail: Vec::new(),
            inner: StreamDecoder::new(),
            is_marked: false,
            schema: None,
            places: Vec::new(),
            meter: Meter::default(),
        }
    }

    fn advance(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        loop {
            let needed = match self.state {
                State::Start | State::Prefix => 8,
                State::Header(length) => length,
                State::Body(header, body) => header + body,
                State::End => {
                    self.take_tail();
                    return Ok(());
                }
            };
            if self.held.len() < needed {
                return Ok(());
            }
            match self.state {
                State::Start => {
                    self.is_file = self.held.starts_with(MAGIC);
                    if self.is_file {
                        self.held.drain(..8);
                    }
                    self.state = State::Prefix;
                }
                State::Prefix => self.prefix()?,
                State::Header(length) => self.header(length)?,
                State::Body(header, body) => self.message(header + body, out)?,
                State::End => {}
            }
        }
    }

    /// What is behind the end: nothing for a stream, the footer for a file.
    fn take_tail(&mut self) {
        self.tail.append(&mut self.held);
        let spare = self.tail.len().saturating_sub(64);
        self.tail.drain(..spare);
    }

    fn prefix(&mut self) -> Result<()> {
        let word = |at: usize| {
            let bytes = self.held[at..at + 4].try_into().unwrap_or_default();
            u32::from_le_bytes(bytes)
        };
        // Streams before Arrow 0.15 have the length alone.
        let (length, skip) = if word(0) == u32::MAX {
            (word(4), 8)
        } else {
            (word(0), 4)
        };
        let length = length as usize;
        if self.is_file && !self.has_begun && word(0) == 0 {
            // Writers pad the magic word to their own alignment.
            self.held.drain(..8);
            return Ok(());
        }
        self.has_begun = true;
        if length == 0 {
            self.held.drain(..skip);
            self.state = State::End;
            return Ok(());
        }
        if length > MAX_HEADER {
            return Err(too_large(format!(
                "an arrow message announces a description of {length} bytes, at most {MAX_HEADER} are taken"
            )));
        }
        self.held.drain(..skip);
        self.state = State::Header(length);
        Ok(())
    }

    fn header(&mut self, length: usize) -> Result<()> {
        let limits = &self.options.limits;
        let message = message(&self.held[..length])?;
        let body = usize::try_from(message.bodyLength())
            .map_err(|_| malformed("an arrow message announces less than nothing"))?;
        if body > MAX_BODY {
            return Err(too_large(format!(
                "an arrow message announces {body} bytes of data, at most {MAX_BODY} are taken"
            )));
        }
        if let Some(schema) = message.header_as_schema() {
            let columns = schema.fields().map_or(0, |fields| fields.len());
            if columns > limits.max_columns {
                return Err(too_many_columns(limits));
            }
        }
        self.state = State::Body(length, body);
        Ok(())
    }

    fn message(&mut self, length: usize, out: &mut Vec<RecordBatch>) -> Result<()> {
        let State::Body(header, body) = self.state else {
            return Ok(());
        };
        let unpacked = unpacked_bytes(&self.held[..header], &self.held[header..length])?;
        if unpacked > MAX_BODY as u64 {
            return Err(too_large(format!(
                "an arrow message unpacks to {unpacked} bytes, at most {MAX_BODY} are taken"
            )));
        }
        self.meter.decoded(unpacked, &self.options.limits)?;
        let mut framed = Vec::with_capacity(length + 16);
        if !std::mem::take(&mut self.is_marked) {
            framed.extend_from_slice(&MARK);
        }
        framed.extend_from_slice(&(header as u32).to_le_bytes());
        framed.extend_from_slice(&self.held[..length]);
        self.held.drain(..length);
        self.state = State::Prefix;
        let mut batch = self.feed(framed)?;
        if body == 0 && batch.is_none() {
            // The reader looks at a message without data once the next begins.
            batch = self.feed(MARK.to_vec())?;
            self.is_marked = true;
        }
        if self.schema.is_none() {
            self.take_schema()?;
        }
        batch.map_or(Ok(()), |batch| self.emit(&batch, out))
    }

    /// Runs Arrow's reader, whose panics must stay here.
    fn feed(&mut self, bytes: Vec<u8>) -> Result<Option<RecordBatch>> {
        let mut buffer = Buffer::from_vec(bytes);
        let inner = &mut self.inner;
        let decode = move || {
            let mut found = None;
            while !buffer.is_empty() {
                if let Some(batch) = inner.decode(&mut buffer)? {
                    found = Some(batch);
                }
            }
            Ok(found)
        };
        match guarded(decode) {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(unreadable(&error)),
            Err(_) => Err(malformed(
                "the arrow data is not valid, or of a type that is not known here",
            )),
        }
    }

    fn take_schema(&mut self) -> Result<()> {
        let Some(found) = self.inner.schema() else {
            return Ok(());
        };
        let limits = &self.options.limits;
        let (leaves, depth) = measure(found.fields());
        if leaves > limits.max_columns {
            return Err(too_many_columns(limits));
        }
        if depth > limits.max_depth {
            return Err(too_large(format!(
                "a column nests deeper than {} levels",
                limits.max_depth
            )));
        }
        let place = |name: &String| {
            found.index_of(name).map_err(|_| {
                let message =
                    format!("`columns` names a column `{name}`, which the input does not have");
                Error::invalid("/columns", message).code("unknown_column")
            })
        };
        self.places = match &self.options.columns {
            Some(names) => names.iter().map(place).collect::<Result<_>>()?,
            None => (0..found.fields().len()).collect(),
        };
        let plain = |place: &usize| plain_field(&found.fields()[*place]);
        let fields: Vec<FieldRef> = self.places.iter().map(plain).collect();
        let metadata = found.metadata().clone();
        self.schema = Some(Arc::new(Schema::new_with_metadata(fields, metadata)));
        Ok(())
    }

    /// The batch without dictionaries and views, in parts of bounded rows.
    fn emit(&mut self, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<()> {
        let Some(schema) = self.schema.clone() else {
            return Err(malformed("rows come before the schema"));
        };
        // Rows without a byte of their own are made by the billion otherwise.
        let cells = batch
            .columns()
            .iter()
            .map(|column| cells(&column.to_data()));
        let cells = cells.fold(batch.num_rows() as u64, u64::saturating_add);
        self.meter.decoded(cells, &self.options.limits)?;
        let rows = batch.num_rows();
        for start in (0..rows).step_by(self.options.batch_rows.max(1)) {
            let part = batch.slice(start, self.options.batch_rows.min(rows - start));
            let mut columns = Vec::with_capacity(self.places.len());
            for (index, field) in schema.fields().iter().enumerate() {
                let column = part.column(self.places[index]);
                columns.push(self.plain(column, field)?);
            }
            let count = RecordBatchOptions::new().with_row_count(Some(part.num_rows()));
            let made = RecordBatch::try_new_with_options(schema.clone(), columns, &count);
            out.push(made.map_err(|error| unreadable(&error))?);
        }
        Ok(())
    }

    fn plain(&mut self, column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        let bytes = plain_bytes(column);
        if bytes > MAX_BODY as u64 {
            return Err(too_large(
                "a dictionary of an arrow message unpacks to too many bytes".to_owned(),
            ));
        }
        self.meter.decoded(bytes, &self.options.limits)?;
        let target = field.data_type().clone();
        let column = Arc::clone(column);
        match guarded(move || cast(&column, &target)) {
            Ok(Ok(array)) => Ok(array),
            Ok(Err(error)) => Err(unreadable(&error)),
            Err(_) => Err(malformed("the arrow data is not valid")),
        }
    }
}

fn message(header: &[u8]) -> Result<Message<'_>> {
    root_as_message(header)
        .map_err(|error| malformed("an arrow message is not valid").detail(error))
}

/// What the buffers of a message say they unpack to.
fn unpacked_bytes(header: &[u8], body: &[u8]) -> Result<u64> {
    let message = message(header)?;
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => {
            message.header_as_dictionary_batch().and_then(|d| d.data())
        }
        _ => None,
    };
    let Some(batch) = batch else {
        return Ok(body.len() as u64);
    };
    if batch.compression().is_none() {
        return Ok(body.len() as u64);
    }
    let mut total = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let range = usize::try_from(buffer.offset())
            .ok()
            .zip(usize::try_from(buffer.length()).ok());
        let packed = range.and_then(|(start, length)| body.get(start..start.checked_add(length)?));
        let Some(packed) = packed else {
            return Err(malformed("an arrow buffer lies outside of its message"));
        };
        if let Some(length) = packed.first_chunk::<8>() {
            // -1: stored as it is.
            let unpacked = u64::try_from(i64::from_le_bytes(*length));
            total = total.saturating_add(unpacked.unwrap_or(packed.len() as u64));
        }
    }
    Ok(total)
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let wanted = plain_type(field.data_type());
    if wanted == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::clone(field).with_data_type(wanted))
}

/// Columns with those of nested types, and how deep they nest.
fn measure(fields: &Fields) -> (usize, usize) {
    let mut open: Vec<(&Field, usize)> = fields.iter().map(|field| (&**field, 1)).collect();
    let (mut leaves, mut deepest) = (0, 0);
    while let Some((field, depth)) = open.pop() {
        leaves += 1;
        deepest = deepest.max(depth);
        match field.data_type() {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _) => open.push((item, depth + 1)),
            DataType::RunEndEncoded(_, values) => open.push((values, depth + 1)),
            DataType::Struct(fields) => open.extend(fields.iter().map(|f| (&**f, depth + 1))),
            DataType::Union(fields, _) => {
                open.extend(fields.iter().map(|(_, field)| (&**field, depth + 1)));
            }
            _ => {}
        }
    }
    (leaves, deepest)
}

/// Values of an array, those within others included.
fn cells(data: &ArrayData) -> u64 {
    let inner = data.child_data().iter().map(cells);
    inner.fold(data.len() as u64, u64::saturating_add)
}

/// Bytes of a list whose lists may all be the same one, written out.
fn viewed_bytes(column: &ArrayRef) -> u64 {
    let data = column.to_data();
    let Some(values) = data.child_data().first() else {
        return 0;
    };
    let size = values.get_slice_memory_size().unwrap_or(usize::MAX) as u64;
    let each = size / (values.len() as u64).max(1) + 1;
    let sizes: u64 = match column.data_type() {
        DataType::ListView(_) => {
            let sizes = column.as_list_view::<i32>().sizes().iter();
            sizes.map(|size| u64::try_from(*size).unwrap_or(0)).sum()
        }
        _ => {
            let sizes = column.as_list_view::<i64>().sizes().iter();
            sizes
                .map(|size| u64::try_from(*size).unwrap_or(0))
                .fold(0, u64::saturating_add)
        }
    };
    sizes.saturating_mul(each)
}

/// Bytes of a column once every dictionary value is written out.
fn plain_bytes(column: &ArrayRef) -> u64 {
    let rows = column.len() as u64;
    let largest = |values: &ArrayRef| {
        let size = values.get_array_memory_size() as u64;
        rows.saturating_mul(size / (values.len() as u64).max(1) + 1)
            .max(size)
    };
    match column.data_type() {
        DataType::Dictionary(_, _) => {
            let data = column.to_data();
            data.child_data()
                .first()
                .map_or(0, |values| largest(&make_array(values.clone())))
        }
        DataType::RunEndEncoded(_, _) => {
            let data = column.to_data();
            data.child_data()
                .get(1)
                .map_or(0, |values| largest(&make_array(values.clone())))
        }
        DataType::ListView(_) | DataType::LargeListView(_) => viewed_bytes(column),
        _ => column.get_array_memory_size() as u64,
    }
}

impl Decoder for IpcDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<RecordBatch>) -> Result<()> {
        self.meter.encoded += bytes.len() as u64;
        self.held.extend_from_slice(bytes);
        self.advance(out)
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<()> {
        if self.state != State::End {
            return Err(malformed("the arrow stream ends before its end marker")
                .hint("the input broke off; a writer must be closed"));
        }
        if self.is_file && !self.tail.ends_with(MAGIC) {
            return Err(malformed("the arrow file ends before its footer"));
        }
        if self.schema.is_none() {
            return Err(malformed("the arrow stream has no schema"));
        }
        Ok(())
    }

    fn held(&self) -> usize {
        self.held.len()
    }

    fn schema(&self) -> Option<SchemaRef> {
        self.schema.clone()
    }
}
