//! Ways to write text in which a few bytes stand for many: a dictionary whose
//! one long value every row names, and lengths and differences. How long a value
//! may become decides how many rows are read at once.

use std::sync::Arc;

use parquet::basic::{Encoding, Type as Physical};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use weir_core::Result;

use super::bytes::Counted;
use super::pages::{Watch, is_delta};
use super::read::{broken, failed};
use crate::decode::DecodeLimits;

/// Values of a page that is written as lengths and differences at most: two
/// numbers of each are made before the first value is.
const MAX_DELTA_VALUES: u64 = 4 << 20;

/// Bytes of the longest value that a value's few bytes may stand for; none
/// where every value stands there in full.
pub(super) fn widest(
    source: &Counted,
    group: &RowGroupMetaData,
    leaf: usize,
    limits: &DecodeLimits,
) -> Result<u64> {
    let chunk = group.column(leaf);
    let fixed = match chunk.column_type() {
        Physical::BYTE_ARRAY => 0,
        Physical::FIXED_LEN_BYTE_ARRAY => {
            u64::try_from(chunk.column_descr().type_length()).unwrap_or(0)
        }
        _ => return Ok(0),
    };
    let has_delta = chunk.encodings().any(is_delta);
    if fixed > 0 && !has_delta {
        return Ok(fixed);
    }
    if chunk.compressed_size() == 0 {
        return Ok(fixed);
    }
    let mut watch = Watch::of(group, limits)?;
    if !has_delta && !watch.has_dictionary(source, chunk.byte_range().0)? {
        return Ok(fixed);
    }
    let source = source.watched(watch);
    let outcome = longest(&source, chunk, group.num_rows(), has_delta);
    let longest = outcome.map_err(|error| source.failure().unwrap_or(error))?;
    Ok(longest.max(fixed))
}

/// Looks at the dictionary, and at every page where one may hold differences.
fn longest(source: &Counted, chunk: &ColumnChunkMetaData, rows: i64, all: bool) -> Result<u64> {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let shared = Arc::new(source.clone());
    let mut pages = SerializedPageReader::new(shared, chunk, rows, None).map_err(failed)?;
    let mut longest = 0_u64;
    while let Some(page) = pages.get_next_page().map_err(failed)? {
        source.begin();
        longest = longest.max(match &page {
            Page::DictionaryPage { buf, .. } if chunk.column_type() == Physical::BYTE_ARRAY => {
                longest_of(buf)
            }
            Page::DictionaryPage { .. } => 0,
            page if is_delta(page.encoding()) => of_differences(page, chunk)?,
            _ => 0,
        });
        if !all {
            break;
        }
    }
    Ok(longest)
}

/// The longest of values that stand behind their lengths.
fn longest_of(mut rest: &[u8]) -> u64 {
    let mut longest = 0;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        longest = longest.max(u64::from(length));
        rest = behind.get(length as usize..).unwrap_or_default();
    }
    longest
}

/// The numbers of values that lengths are made for must be those of the page.
fn of_differences(page: &Page, chunk: &ColumnChunkMetaData) -> Result<u64> {
    let values = u64::from(page.num_values()).min(MAX_DELTA_VALUES);
    let cannot = || broken("a page of lengths and differences cannot be read");
    let data = values_of(page, chunk).ok_or_else(cannot)?;
    let (count, end) = differences(data).ok_or_else(cannot)?;
    let mut most = count;
    if page.encoding() == Encoding::DELTA_BYTE_ARRAY {
        most = most.max(differences(&data[end..]).ok_or_else(cannot)?.0);
    }
    if most > values {
        return Err(broken(
            "a page of lengths and differences has too many values",
        ));
    }
    // Of differences, any value may repeat all of the one before.
    Ok(match page.encoding() {
        Encoding::DELTA_BYTE_ARRAY => data.len() as u64,
        _ => 0,
    })
}

/// What is behind the levels of a page.
fn values_of<'a>(page: &'a Page, chunk: &ColumnChunkMetaData) -> Option<&'a [u8]> {
    let descriptor = chunk.column_descr();
    let most = [descriptor.max_rep_level(), descriptor.max_def_level()];
    match page {
        Page::DataPageV2 {
            buf,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let start = def_levels_byte_len.checked_add(*rep_levels_byte_len)?;
            buf.get(start as usize..)
        }
        Page::DataPage {
            buf,
            num_values,
            def_level_encoding,
            rep_level_encoding,
            ..
        } => {
            let mut rest = &buf[..];
            for (most, encoding) in most
                .into_iter()
                .zip([rep_level_encoding, def_level_encoding])
            {
                if most == 0 {
                    continue;
                }
                rest = match encoding {
                    Encoding::RLE => {
                        let (length, behind) = rest.split_first_chunk::<4>()?;
                        behind.get(u32::from_le_bytes(*length) as usize..)?
                    }
                    _ => {
                        let bits = u64::from(u16::BITS - most.cast_unsigned().leading_zeros());
                        let bytes = (bits * u64::from(*num_values)).div_ceil(8);
                        rest.get(usize::try_from(bytes).ok()?..)?
                    }
                };
            }
            Some(rest)
        }
        Page::DictionaryPage { .. } => None,
    }
}

/// How many numbers are written as differences, and where they end.
fn differences(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut at = 0;
    let block = varint(bytes, &mut at)?;
    let parts = varint(bytes, &mut at)?;
    let count = varint(bytes, &mut at)?;
    varint(bytes, &mut at)?;
    let part = block.checked_div(parts)?.max(1);
    let mut left = count.saturating_sub(1);
    while left > 0 {
        varint(bytes, &mut at)?;
        let widths = bytes.get(at..at.checked_add(usize::try_from(parts).ok()?)?)?;
        at += widths.len();
        for width in widths {
            if left > 0 {
                let size = part.checked_mul(u64::from(*width))? / 8;
                at = at.checked_add(usize::try_from(size).ok()?)?;
            }
            left = left.saturating_sub(part);
        }
        if at > bytes.len() {
            return None;
        }
    }
    Some((count, at))
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
