//! The footer of a Parquet file: read as a slice of a checked length, outlined
//! before it is built, and held against the size of the file.

use parquet::basic::Type as Physical;
use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::Length;
use weir_core::{Error, Kind, Result};

use super::bytes::Counted;
use super::pages::MAX_PAGE;
use super::read::{broken, failed};
use super::thrift::{Outline, outline};
use crate::decode::{DecodeLimits, too_many_columns};

/// A footer that says more than this is refused.
const MAX_FOOTER: usize = 32 << 20;

/// Columns of all row groups together: each takes some hundred bytes of memory
/// for the few that it takes in the file.
const MAX_CHUNKS: usize = 200_000;

const FOOTER_BYTES: u64 = 8;

/// Reads and checks the footer.
pub(super) fn read(source: &Counted, limits: &DecodeLimits) -> Result<ParquetMetaData> {
    let size = source.len();
    if size < FOOTER_BYTES + 4 {
        return Err(broken("it is too short to be one"));
    }
    let tail = source.exact(size - FOOTER_BYTES, 8).map_err(failed)?;
    if tail.ends_with(b"PARE") {
        return Err(encrypted());
    }
    let tail = FooterTail::try_from(&tail[..]).map_err(failed)?;
    let length = tail.metadata_length();
    if length as u64 > size - FOOTER_BYTES {
        return Err(broken("its footer is longer than the file"));
    }
    if length > MAX_FOOTER {
        return Err(too_large(format!(
            "a footer of {length} bytes, more than {MAX_FOOTER}"
        )));
    }
    let bytes = source.exact(size - FOOTER_BYTES - length as u64, length);
    let bytes = bytes.map_err(failed)?;
    let found = outline(&bytes).map_err(|_| broken("its footer cannot be read"))?;
    fits(&found, limits)?;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes).map_err(failed)?;
    check(&metadata, size)?;
    Ok(metadata)
}

fn encrypted() -> Error {
    Error::unsupported("the Parquet file is encrypted")
        .code("encrypted")
        .hint("decrypt it first; keys for Parquet cannot be given yet")
}

/// What the footer says must be possible in a file of this size.
fn check(metadata: &ParquetMetaData, size: u64) -> Result<()> {
    let columns = metadata.file_metadata().schema_descr().num_columns();
    let descriptors = metadata.file_metadata().schema_descr().columns();
    for column in descriptors {
        let length = u64::try_from(column.type_length()).unwrap_or(0);
        let is_fixed = column.physical_type() == Physical::FIXED_LEN_BYTE_ARRAY;
        if is_fixed && length > MAX_PAGE {
            return Err(too_large(
                "values of a fixed length larger than 64 MiB".to_owned(),
            ));
        }
    }
    let mut rows: i64 = 0;
    for group in metadata.row_groups() {
        if group.num_rows() < 0 || group.num_columns() != columns {
            return Err(broken("a row group does not fit the schema"));
        }
        rows = rows
            .checked_add(group.num_rows())
            .ok_or_else(|| broken("it says that it has too many rows"))?;
        for chunk in group.columns() {
            let is_flat = chunk.column_descr().max_rep_level() == 0;
            if is_flat && chunk.num_values() != group.num_rows() {
                return Err(broken("a column has not as many values as its row group"));
            }
            // Asked for a range that is negative, the library would panic.
            let start = chunk
                .dictionary_page_offset()
                .unwrap_or(chunk.data_page_offset());
            let length = chunk.compressed_size();
            let end = u64::try_from(start)
                .ok()
                .zip(u64::try_from(length).ok())
                .and_then(|(start, length)| start.checked_add(length));
            if end.is_none_or(|end| end > size) || chunk.num_values() < 0 {
                return Err(broken("a column lies outside of the file"));
            }
        }
    }
    if columns == 0 && rows > 0 {
        return Err(broken("it has rows and no columns"));
    }
    if rows != metadata.file_metadata().num_rows() {
        return Err(broken("its row groups do not have the rows that it says"));
    }
    Ok(())
}

fn too_large(what: String) -> Error {
    Error::new(Kind::TooLarge, format!("the Parquet file has {what}"))
        .hint("write it with fewer columns or larger row groups")
}

/// What the footer holds must be within the limits before it is built: the
/// library calls itself for every level of the schema.
fn fits(found: &Outline, limits: &DecodeLimits) -> Result<()> {
    if found.leaves > limits.max_columns {
        return Err(too_many_columns(limits));
    }
    if found.depth > limits.max_depth {
        let most = limits.max_depth;
        let what = format!("a column of the Parquet file nests deeper than {most} levels");
        return Err(Error::new(Kind::Malformed, what).code("too_deep"));
    }
    let groups = found.elements - found.leaves;
    if groups > limits.max_columns.saturating_mul(4) {
        return Err(too_many_columns(limits));
    }
    let chunks = found.chunks.max(found.groups);
    if chunks > MAX_CHUNKS {
        return Err(too_large(format!(
            "{chunks} columns in all its row groups, more than {MAX_CHUNKS}"
        )));
    }
    Ok(())
}
