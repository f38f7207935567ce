//! Files stay short enough to be read in one go.

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

#[test]
fn every_error_code_is_explained_in_the_docs() {
    let pages = std::fs::read_to_string(root().join("crates/weir-api/src/codes.rs")).unwrap();
    let docs = std::fs::read_to_string(root().join("docs/STATUS-CODES.md")).unwrap();
    let codes = pages
        .lines()
        .filter_map(|line| line.trim().strip_prefix("page(\"")?.split('"').next());
    let missing: Vec<&str> = codes
        .filter(|code| !docs.contains(&format!("`{code}`")))
        .collect();
    assert!(missing.is_empty(), "docs/STATUS-CODES.md lacks {missing:?}");
}
