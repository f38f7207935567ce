//! Files stay short enough to be read in one go.

use std::collections::BTreeSet;
use std::path::Path;

use weir_tests::project::{root, tracked_files};

const LONGEST: usize = 600;

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let sources = tracked_files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let long: Vec<String> = sources
        .filter_map(|path| {
            let lines = std::fs::read_to_string(root().join(&path))
                .ok()?
                .lines()
                .count();
            (lines > LONGEST).then(|| format!("{}: {lines}", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "usually two things: {long:#?}");
}

#[test]
fn lints_are_expected_with_a_reason_and_never_just_allowed() {
    let allow = concat!("#[", "allow(");
    let sources = tracked_files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let bare: Vec<String> = sources
        .filter(|path| {
            std::fs::read_to_string(root().join(path)).is_ok_and(|text| text.contains(allow))
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(bare.is_empty(), "use expect with a reason: {bare:#?}");
}

/// Codes that only ever end a start, and so are no answers.
const OF_STARTS: [&str; 4] = [
    "database_url",
    "master_key",
    "private_postgres",
    "tls_files",
];

/// The texts of what runs: no tests, and not the list of codes itself.
fn sources() -> Vec<String> {
    let is_source = |path: &Path| {
        let text = path.to_string_lossy();
        text.starts_with("crates/") && text.ends_with(".rs") && !text.contains("test")
    };
    let sources = tracked_files()
        .into_iter()
        .filter(|path| is_source(path) && !path.ends_with("weir-api/src/codes.rs"));
    sources
        .map(|path| std::fs::read_to_string(root().join(path)).unwrap_or_default())
        .map(|text| {
            text.split("#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

#[test]
fn every_page_is_of_a_code_that_an_answer_can_carry() {
    let sources = sources();
    let pages = root().join("crates/weir-api/src/codes.rs");
    let pages = std::fs::read_to_string(pages).unwrap();
    let codes = pages
        .split("page(")
        .skip(2)
        .filter_map(|rest| rest.split('"').nth(1));
    let unused: Vec<&str> = codes
        .filter(|code| {
            let spelled = [format!("\"{code}\""), format!("'{code}'")];
            !sources
                .iter()
                .any(|text| spelled.iter().any(|word| text.contains(word)))
        })
        .collect();
    assert!(unused.is_empty(), "nothing answers with these: {unused:?}");
}

#[test]
fn every_error_code_has_its_page_and_its_line_in_the_docs() {
    let read = |path: &Path| std::fs::read_to_string(root().join(path)).unwrap_or_default();
    let pages = read(Path::new("crates/weir-api/src/codes.rs"));
    let docs = read(Path::new("docs/STATUS-CODES.md"));
    let mut codes = BTreeSet::new();
    for text in sources() {
        let named = text
            .split(".code(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        codes.extend(named.map(str::to_owned));
    }
    assert!(codes.len() > 15, "{codes:?}");
    codes.extend(
        pages
            .split("page(")
            .skip(2)
            .filter_map(|rest| rest.split('"').nth(1))
            .map(str::to_owned),
    );
    let missing: Vec<&String> = codes
        .iter()
        .filter(|code| !OF_STARTS.contains(&code.as_str()))
        .filter(|code| {
            !pages.contains(&format!("\"{code}\"")) || !docs.contains(&format!("| `{code}` |"))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "no page in codes.rs or no line in docs/STATUS-CODES.md: {missing:?}"
    );
}
