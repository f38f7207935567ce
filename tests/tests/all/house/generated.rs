//! Committed files that are made from the code are up to date.

use weir_tests::generated;
use weir_tests::project::root;

#[test]
fn generated_files_are_up_to_date() {
    let stale: Vec<String> = generated::files()
        .into_iter()
        .filter(|(path, text)| {
            std::fs::read_to_string(root().join(path)).ok().as_ref() != Some(text)
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(
        stale.is_empty(),
        "run `make openapi` and commit: {stale:#?}"
    );
}

#[test]
fn no_schema_is_left_of_a_connector_that_is_gone() {
    let made: Vec<_> = generated::files()
        .into_iter()
        .map(|(path, _)| root().join(path))
        .collect();
    let folder = std::fs::read_dir(root().join("openapi/connectors")).unwrap();
    let left: Vec<_> = folder
        .map(|entry| entry.unwrap().path())
        .filter(|p| !made.contains(p))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
