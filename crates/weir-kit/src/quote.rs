//! Identifiers and literals are quoted here and nowhere else.

/// How a system writes names that are not plain words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `"name"`, as the SQL standard says: PostgreSQL, SQLite, Oracle, Trino …
    Standard,
    /// `` `name` ``: MySQL, MariaDB, BigQuery, Spark.
    Backtick,
    /// `[name]`: SQL Server.
    Bracket,
}

impl Dialect {
    /// One quoted identifier. A NUL cannot be part of any name; callers refuse
    /// it before (stream ids do), and here it is left out.
    pub fn quote(self, name: &str) -> String {
        let mut quoted = String::with_capacity(name.len() + 2);
        self.quote_into(name, &mut quoted);
        quoted
    }

    /// Appends one quoted identifier to `text`.
    pub fn quote_into(self, name: &str, text: &mut String) {
        let (open, close) = match self {
            Dialect::Standard => ('"', '"'),
            Dialect::Backtick => ('`', '`'),
            Dialect::Bracket => ('[', ']'),
        };
        text.push(open);
        for character in name.chars().filter(|c| *c != '\0') {
            text.push(character);
            if character == close {
                text.push(close);
            }
        }
        text.push(close);
    }

    /// Quoted parts joined by dots, outermost first.
    pub fn path(self, parts: &[&str]) -> String {
        let mut path = String::new();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                path.push('.');
            }
            self.quote_into(part, &mut path);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::Dialect;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(Dialect::Standard.quote(r#"a"b"#), r#""a""b""#);
        assert_eq!(Dialect::Backtick.quote("a`b\"c"), "`a``b\"c`");
        assert_eq!(Dialect::Bracket.quote("a]b[c"), "[a]]b[c]");
        assert_eq!(Dialect::Standard.quote("a\0b"), "\"ab\"");
        assert_eq!(
            Dialect::Standard.path(&["public", "x.y"]),
            r#""public"."x.y""#
        );
    }
}
