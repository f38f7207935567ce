//! What holds for the text of every statement, whatever its dialect.

use weir_core::{Error, Kind, Result};

/// Bytes a statement may have.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Refuses a statement that is empty, too long or holds a NUL.
pub fn check(text: &str) -> Result<()> {
    if text.len() > MAX_BYTES {
        let message = format!(
            "the query has {} bytes; at most {MAX_BYTES} are taken",
            text.len()
        );
        return Err(Error::new(Kind::TooLarge, message)
            .code("query_too_long")
            .at("/query", "too long")
            .hint("put long lists of values into params, or into a table of the source"));
    }
    if text.trim().is_empty() {
        return Err(Error::invalid("/query", "the query is empty"));
    }
    if text.contains('\0') {
        return Err(Error::invalid("/query", "the query holds a NUL character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, check};

    #[test]
    fn limits_hold() {
        assert!(check("select 1").is_ok());
        assert!(check(&"x".repeat(MAX_BYTES)).is_ok());
        let error = check(&"x".repeat(MAX_BYTES + 1)).unwrap_err();
        assert_eq!(error.stable_code(), "query_too_long");
        assert!(check(" \n").is_err() && check("a\0").is_err());
    }
}
