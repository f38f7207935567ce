//! Column names as a program wants them: lower case, words joined by `_`,
//! never a keyword of Python, never two alike.

use std::collections::HashSet;

/// `keyword.kwlist` of Python 3, in its order.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

fn no_keyword(mut name: String) -> String {
    if KEYWORDS.binary_search(&name.as_str()).is_ok() {
        name.push('_');
    }
    name
}

fn is_edge(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\'' | '"' | '_' | '-')
}

/// What becomes of one character inside a name.
fn inner(c: char) -> Option<char> {
    match c {
        '-' | '.' => Some('_'),
        c if c.is_whitespace() => Some('_'),
        '_' => Some(c),
        c if c.is_ascii_alphanumeric() => Some(c),
        _ => None,
    }
}

/// `PascalCase` and `camelCase` with `_` before each capital but the first letter.
fn split_at_capitals(name: &str) -> String {
    let mut split = String::with_capacity(name.len() + 4);
    for (at, c) in name.char_indices() {
        if at > 0 && c.is_ascii_uppercase() {
            split.push('_');
        }
        split.push(c);
    }
    split
}

/// The clean form of one name; see [`clean_all`] for names that become alike.
pub fn clean(name: &str) -> String {
    let name = no_keyword(name.to_owned());
    let mut name: String = name
        .trim_matches(is_edge)
        .chars()
        .filter_map(inner)
        .collect();
    if name.is_empty() {
        return "column".to_owned();
    }
    if name.bytes().all(|b| b.is_ascii_digit()) {
        name.insert_str(0, "number_");
    }
    let name = no_keyword(name);
    let is_upper = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let mut clean = if name.bytes().all(is_upper) || !name.bytes().all(|b| b.is_ascii_alphabetic())
    {
        name
    } else {
        split_at_capitals(&name)
    };
    clean.make_ascii_lowercase();
    clean
}

/// All names with those at `chosen` cleaned. A clean name that is taken gets
/// `_2`, `_3`, …, in the order of the columns; a name that is not chosen stays.
pub fn clean_all(names: &[&str], chosen: &[usize]) -> Vec<String> {
    let chosen: HashSet<usize> = chosen.iter().copied().collect();
    let kept = names.iter().enumerate();
    let kept = kept.filter(|(at, _)| !chosen.contains(at));
    let mut taken: HashSet<String> = kept.map(|(_, name)| (*name).to_owned()).collect();
    let mut cleaned = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        if !chosen.contains(&at) {
            cleaned.push((*name).to_owned());
            continue;
        }
        let clean = clean(name);
        let mut candidate = clean.clone();
        let mut count = 1_usize;
        while !taken.insert(candidate.clone()) {
            count += 1;
            candidate = format!("{clean}_{count}");
        }
        cleaned.push(candidate);
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::{KEYWORDS, clean, clean_all};
    use proptest::prelude::*;

    #[test]
    fn keywords_are_sorted_for_the_search() {
        assert!(KEYWORDS.is_sorted());
    }

    #[test]
    fn names_become_clean() {
        for (name, expected) in [
            ("Good Col", "good_col"),
            ("PascalCase", "pascal_case"),
            ("userID", "user_i_d"),
            ("HTTPServer", "h_t_t_p_server"),
            ("fooBar2", "foobar2"),
            ("123", "number_123"),
            ("$1,000", "number_1000"),
            ("1.5 rate", "1_5_rate"),
            ("class", "class_"),
            ("a-b.c", "a_b_c"),
            ("__x__", "x"),
            ("Año", "ao"),
            ("a  b", "a__b"),
            ("", "column"),
            ("  '\"_- ", "column"),
            ("ñ", "column"),
            ("ABC", "abc"),
            ("ABC_DEF", "abc_def"),
            ("ABC1", "abc1"),
            ("True", "true_"),
            ("lambda", "lambda_"),
            ("'for'", "for_"),
            ("a\u{a0}b\tc", "a_b_c"),
            ("x_Y", "x_y"),
            ("Col", "col"),
            ("日本", "column"),
            ("-5", "number_5"),
        ] {
            assert_eq!(clean(name), expected, "{name:?}");
        }
    }

    #[test]
    fn names_that_become_alike_are_numbered() {
        assert_eq!(
            clean_all(&["A b", "a-b", "a.b"], &[0, 1, 2]),
            ["a_b", "a_b_2", "a_b_3"]
        );
        assert_eq!(
            clean_all(&["A b", "a_b", "a_b_2"], &[0]),
            ["a_b_3", "a_b", "a_b_2"]
        );
        assert_eq!(
            clean_all(&["", "'", "X"], &[0, 1]),
            ["column", "column_2", "X"]
        );
    }

    proptest! {
        #[test]
        fn any_names_become_clean_and_unique(names in prop::collection::vec(".{0,8}", 0..8)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let all: Vec<usize> = (0..names.len()).collect();
            let cleaned = clean_all(&names, &all);
            let unique: std::collections::HashSet<&String> = cleaned.iter().collect();
            prop_assert_eq!(unique.len(), names.len());
            for name in &cleaned {
                let is_clean = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                prop_assert!(!name.is_empty() && name.bytes().all(is_clean), "{}", name);
            }
        }
    }
}
