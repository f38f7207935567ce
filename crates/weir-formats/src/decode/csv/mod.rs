//! CSV in: dialect, names and types from the sample, then batch after batch.

mod dialect;
mod scan;

use arrow::datatypes::{Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use weir_core::{Error, Result};

use super::cells::{CsvCells, Reader, Value};
use super::charset::Charset;
use super::guess::Guess;
use super::plan::{Batch, Meter, Plan, at_row, data_error};
use super::{DecodeOptions, Decoder, SAMPLE_BYTES, SAMPLE_ROWS};
use scan::Scanner;

/// Bytes that are taken at once, so that the buffer stays small.
const STEP: usize = 1 << 20;

/// Reads CSV.
pub(super) struct CsvDecoder {
    options: DecodeOptions,
    charset: Charset,
    text: Vec<u8>,
    skip_lines: usize,
    /// Line breaks in the text that is gone.
    lines: u64,
    rows: u64,
    table: Option<Table>,
    meter: Meter,
    sample_lines: usize,
    /// Bytes to wait for: more than usual where the first rows are larger.
    sample_bytes: usize,
    counted: usize,
}

struct Table {
    scanner: Scanner,
    reader: CsvCells,
    plan: Plan,
    has_header: bool,
}

fn breaks(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl CsvDecoder {
    pub(super) fn new(options: DecodeOptions) -> Result<Self> {
        Ok(CsvDecoder {
            charset: Charset::new(options.csv.encoding.as_deref())?,
            skip_lines: options.csv.skip_rows,
            text: Vec::new(),
            lines: 0,
            rows: 0,
            table: None,
            meter: Meter::default(),
            sample_lines: 0,
            sample_bytes: SAMPLE_BYTES,
            counted: 0,
            options,
        })
    }

    fn advance(&mut self, is_last: bool, out: &mut Vec<RecordBatch>) -> Result<()> {
        if !self.skip(is_last) {
            return Ok(());
        }
        if self.table.is_none() {
            self.sample_lines += breaks(&self.text[self.counted..]) as usize;
            self.counted = self.text.len();
            let is_enough = self.text.len() >= self.sample_bytes || self.sample_lines > SAMPLE_ROWS;
            if !is_enough && !is_last {
                return Ok(());
            }
            let Some(table) = self.sampled(is_last)? else {
                // No later than where a row is too large.
                let most = self.options.limits.max_cell_bytes.saturating_add(STEP);
                let twice = (self.text.len() * 2).min(most);
                self.sample_bytes = twice.max(self.text.len() + STEP);
                self.sample_lines = 0;
                return Ok(());
            };
            self.rows = u64::from(table.has_header);
            self.table = Some(table);
        }
        self.batches(is_last, out)?;
        self.compact();
        Ok(())
    }

    /// Leaves out the first lines; `false` while they are not all there.
    fn skip(&mut self, is_last: bool) -> bool {
        while self.skip_lines > 0 {
            let Some(end) = self.text.iter().position(|byte| *byte == b'\n') else {
                if is_last {
                    self.text.clear();
                    self.skip_lines = 0;
                }
                return is_last;
            };
            self.text.drain(..=end);
            self.skip_lines -= 1;
            self.lines += 1;
        }
        true
    }

    /// Dialect, names and types; `None` while there is no whole row below the first.
    fn sampled(&self, is_last: bool) -> Result<Option<Table>> {
        let asked = &self.options.csv;
        let dialect = dialect::detect(&self.text, asked, is_last);
        let reader = CsvCells {
            quote: dialect.quote,
            escape: dialect.escape,
            null_values: asked.null_values.clone(),
        };
        let mut scanner = Scanner::new(dialect);
        let limits = &self.options.limits;
        let scanned = scanner.scan(&self.text, SAMPLE_ROWS + 1, limits);
        scanned.map_err(|error| self.located(error, scanner.ends.len(), scanner.row_place()))?;
        if is_last && scanner.ends.len() <= SAMPLE_ROWS {
            let finished = scanner.finish(&self.text);
            finished
                .map_err(|error| self.located(error, scanner.ends.len(), scanner.row_place()))?;
        }
        if !is_last && scanner.ends.len() < 2 {
            return Ok(None);
        }
        let Some(width) = scanner.ends.first().copied() else {
            return Err(data_error("the input has neither a header nor rows"));
        };
        let has_header = asked
            .header
            .unwrap_or_else(|| dialect::has_header(&self.text, &scanner, &reader));
        let names = self.names(&scanner, &reader, has_header)?;
        let mut guesses = vec![Guess::default(); width];
        let first = usize::from(has_header);
        for row in first..scanner.ends.len() {
            let start = row.checked_sub(1).map_or(0, |before| scanner.ends[before]);
            let cells = &scanner.spans[start..scanner.ends[row]];
            for (guess, span) in guesses.iter_mut().zip(cells) {
                match reader.value(&self.text, *span) {
                    Ok(Value::Text(cell)) => guess.see(&cell),
                    Ok(_) => {}
                    // Seen again, with its row and column, when the batch is made.
                    Err(_) => guess.see("not utf-8"),
                }
            }
        }
        let found = names
            .into_iter()
            .zip(&guesses)
            .map(|(name, guess)| Field::new(name, guess.data_type(), true))
            .collect();
        let plan = Plan::new(found, &self.options)?;
        // The rows are scanned anew, batch by batch.
        let mut scanner = Scanner::new(dialect);
        if has_header {
            scanner.scan(&self.text, 1, limits)?;
            if scanner.ends.is_empty() {
                scanner.finish(&self.text)?;
            }
            scanner.drop_rows(1);
        }
        Ok(Some(Table {
            scanner,
            reader,
            plan,
            has_header,
        }))
    }

    fn names(&self, scanner: &Scanner, reader: &CsvCells, has_header: bool) -> Result<Vec<String>> {
        let width = scanner.ends.first().copied().unwrap_or(0);
        let name = |column: usize| {
            let numbered = format!("column_{}", column + 1);
            if !has_header {
                return Ok(numbered);
            }
            match reader.value(&self.text, scanner.spans[column]) {
                Ok(Value::Text(name)) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
                Ok(_) => Ok(numbered),
                Err(what) => Err(
                    data_error(format!("the name of column {} {what}", column + 1))
                        .hint("name the text's encoding"),
                ),
            }
        };
        (0..width).map(name).collect()
    }

    fn batches(&mut self, is_last: bool, out: &mut Vec<RecordBatch>) -> Result<()> {
        loop {
            let Some(table) = &mut self.table else {
                return Ok(());
            };
            let scanner = &mut table.scanner;
            let wanted = table.plan.batch_rows;
            let mut failed = scanner.scan(&self.text, wanted, &self.options.limits).err();
            if failed.is_none() && is_last && scanner.ends.len() < wanted {
                failed = scanner.finish(&self.text).err();
            }
            let (rows, place) = (scanner.ends.len(), scanner.row_place());
            if failed.is_none() && rows < wanted && !is_last && scanner.consumed < SAMPLE_BYTES {
                return Ok(());
            }
            if rows > 0 {
                self.emit(out)?;
            }
            if let Some(error) = failed {
                return Err(self.located(error, 0, place));
            }
            if rows < wanted {
                return Ok(());
            }
        }
    }

    fn emit(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        let Some(table) = &self.table else {
            return Ok(());
        };
        let (scanner, plan) = (&table.scanner, &table.plan);
        let rows = scanner.ends.len();
        let place = |row: usize| {
            let first = row.checked_sub(1).map_or(0, |before| scanner.ends[before]);
            scanner.spans.get(first).map_or(0, |span| span.start())
        };
        for row in 0..rows {
            let start = row.checked_sub(1).map_or(0, |before| scanner.ends[before]);
            let found = scanner.ends[row] - start;
            if found != plan.width {
                let message = format!("{found} fields where the first row has {}", plan.width);
                let error = data_error(message).hint(
                    "check the delimiter, and that fields with delimiters or line breaks are quoted",
                );
                return Err(self.located(error, row, place(row)));
            }
        }
        let batch = Batch {
            text: &self.text,
            spans: &scanner.spans[..rows * plan.width],
            rows,
        };
        let made = plan.build(&table.reader, &batch);
        let made = made.map_err(|(row, error)| self.located(error, row, place(row)))?;
        self.meter
            .decoded(made.get_array_memory_size() as u64, &self.options.limits)?;
        out.push(made);
        self.rows += rows as u64;
        if let Some(table) = &mut self.table {
            table.scanner.drop_rows(rows);
        }
        Ok(())
    }

    /// `row` counts from the first that is not given out yet, `place` is where
    /// it starts in the text at hand.
    fn located(&self, error: Error, row: usize, place: usize) -> Error {
        let line = self.lines + breaks(&self.text[..place.min(self.text.len())]) + 1;
        at_row(error, self.rows + row as u64 + 1, Some(line))
    }

    /// Drops the text of the rows that are given out.
    fn compact(&mut self) {
        let Some(table) = &mut self.table else {
            return;
        };
        if !table.scanner.ends.is_empty() {
            return;
        }
        let gone = table.scanner.consumed;
        self.lines += breaks(&self.text[..gone]);
        self.text.drain(..gone);
        table.scanner.moved(gone);
    }
}

impl Decoder for CsvDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<RecordBatch>) -> Result<()> {
        self.meter.encoded += bytes.len() as u64;
        for piece in bytes.chunks(STEP) {
            super::room(&mut self.text, piece.len(), &self.options.limits);
            self.charset.push(piece, false, &mut self.text)?;
            self.advance(false, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        self.charset.push(&[], true, &mut self.text)?;
        self.advance(true, out)
    }

    fn held(&self) -> usize {
        self.text.len()
    }

    fn schema(&self) -> Option<SchemaRef> {
        self.table.as_ref().map(|table| table.plan.schema.clone())
    }
}
