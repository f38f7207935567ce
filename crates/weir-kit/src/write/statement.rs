//! Statements that make tables.

use crate::Dialect;

/// A column of a table to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewColumn<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type, as the system writes it.
    pub native: String,
    /// Whether it must not be null.
    pub required: bool,
}

/// `CREATE TABLE` of `path`, which is quoted already; `keys` are its primary
/// key, where there are any.
pub fn create_table(
    dialect: Dialect,
    path: &str,
    columns: &[NewColumn<'_>],
    keys: &[String],
) -> String {
    let mut parts: Vec<String> = columns
        .iter()
        .map(|column| {
            let required = if column.required { " NOT NULL" } else { "" };
            format!("{} {}{required}", dialect.quote(column.name), column.native)
        })
        .collect();
    if !keys.is_empty() {
        let keys: Vec<String> = keys.iter().map(|key| dialect.quote(key)).collect();
        parts.push(format!("PRIMARY KEY ({})", keys.join(", ")));
    }
    format!("CREATE TABLE {path} ({})", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_keys_stand_last() {
        let column = |name, native: &str, required| NewColumn {
            name,
            native: native.to_owned(),
            required,
        };
        let columns = [column("a\"b", "bigint", true), column("c", "text", false)];
        let sql = create_table(Dialect::Standard, "\"s\".\"t\"", &columns, &["a\"b".into()]);
        assert_eq!(
            sql,
            "CREATE TABLE \"s\".\"t\" (\"a\"\"b\" bigint NOT NULL, \"c\" text, PRIMARY KEY (\"a\"\"b\"))"
        );
    }
}
