//! The configuration: one struct is its schema, its docs and its defaults.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::{Error, Result};
use weir_formats::decode::CsvIn;

use crate::format::FileFormat;
use weir_kit::beneath::check_root;

/// A folder of files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// The folder, an absolute path. It must lie below one of the folders that the operator named in `WEIR_FILE_ROOTS`.
    #[schemars(extend("x-endpoint" = true))]
    pub root: String,
    /// Only files whose path below the root matches this pattern, such as `exports/**/*.csv`; the others do not exist for this source.
    pub path: Option<String>,
    /// The format of every file, whatever its name is.
    pub format: Option<FileFormat>,
    /// The dialect of separated values; what is not given is found out from the text.
    #[serde(default)]
    pub csv: CsvConfig,
    /// Types of columns by name, instead of those found in the text: `{"zip": "string", "price": "decimal(10,2)"}`. Not for Arrow and Parquet, which have their own.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// How spreadsheets are laid out.
    #[serde(default)]
    pub excel: ExcelConfig,
    /// Also list files and folders whose name starts with a dot, and let patterns match them.
    #[serde(default)]
    pub hidden: bool,
    /// The name of a column to add that says which file a row came from; none when not given.
    pub file_column: Option<String>,
}

/// The dialect of separated values.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvConfig {
    /// One character between fields, such as `;`.
    pub delimiter: Option<char>,
    /// The character around fields that hold delimiters; doubled it stands for itself.
    pub quote: Option<char>,
    /// A character that takes the meaning of the one behind it.
    pub escape: Option<char>,
    /// Whether the first row holds the names.
    pub header: Option<bool>,
    /// Lines that start with this character are skipped.
    pub comment: Option<char>,
    /// The text's encoding, such as `windows-1252`. A byte order mark wins.
    pub encoding: Option<String>,
    /// Texts that mean null, beside the empty one.
    pub null_values: Vec<String>,
    /// Lines to skip at the start of each file.
    pub skip_rows: usize,
}

/// How spreadsheets are laid out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExcelConfig {
    /// The sheet that is read when the stream names none; otherwise the first.
    pub sheet: Option<String>,
    /// Whether the first row that is not skipped holds the names.
    pub header: bool,
    /// Rows to skip at the start of the sheet.
    pub skip_rows: usize,
}

impl Default for ExcelConfig {
    fn default() -> Self {
        ExcelConfig {
            sheet: None,
            header: true,
            skip_rows: 0,
        }
    }
}

impl FilesConfig {
    /// Checks what the schema cannot say.
    pub fn validate(&self) -> Result<()> {
        check_root(&self.root)?;
        if let Some(path) = &self.path {
            matcher(path).map_err(|text| Error::invalid("/path", text))?;
        }
        if self.file_column.as_deref() == Some("") {
            return Err(Error::invalid("/file_column", "the name is empty"));
        }
        for (name, text) in &self.types {
            weir_core::types::field_of_type(name, text).ok_or_else(|| bad_type(name))?;
        }
        self.csv.decoded().map_err(|error| error.under("/csv"))?;
        Ok(())
    }

    /// What limits the source to some files.
    pub fn only(&self) -> Option<GlobMatcher> {
        matcher(self.path.as_deref()?).ok()
    }
}

impl CsvConfig {
    /// As the decoder takes it.
    pub fn decoded(&self) -> Result<CsvIn> {
        Ok(CsvIn {
            delimiter: byte(self.delimiter, "/delimiter")?,
            quote: byte(self.quote, "/quote")?,
            escape: byte(self.escape, "/escape")?,
            comment: byte(self.comment, "/comment")?,
            header: self.header,
            encoding: self.encoding.clone(),
            null_values: self.null_values.clone(),
            skip_rows: self.skip_rows,
        })
    }
}

fn byte(given: Option<char>, pointer: &str) -> Result<Option<u8>> {
    let byte = |char: char| {
        u8::try_from(char)
            .ok()
            .filter(u8::is_ascii)
            .filter(|byte| !matches!(byte, b'\n' | b'\r' | 0))
            .ok_or_else(|| {
                Error::invalid(pointer, "give one ASCII character other than a line break")
            })
    };
    given.map(byte).transpose()
}

/// The error of a type that is none.
pub fn bad_type(column: &str) -> Error {
    let pointer = format!("/types/{}", weir_core::config::escape_pointer(column));
    Error::invalid(pointer, "not a type that text can be read as").hint(
        "types are bool, int64, float64, decimal(p,s), string, date, time, timestamp, json and the like",
    )
}

/// A pattern over paths: `*` and `?` stop at `/`, `**` does not.
pub fn matcher(pattern: &str) -> std::result::Result<GlobMatcher, String> {
    if pattern.len() > 1024 {
        return Err("the pattern is longer than 1024 bytes".to_owned());
    }
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| format!("not a pattern: {}", error.kind()))
}
