//! `docs/CONVENTIONS.md` names tests that exist.

use weir_tests::project::root;

#[test]
fn every_convention_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/CONVENTIONS.md")).unwrap();
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| matter"))
        .collect();
    assert!(rows.len() >= 15, "{}", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        let named: Vec<&str> = row
            .split('`')
            .filter(|part| part.contains(".rs::"))
            .collect();
        assert!(!named.is_empty(), "no test holds this: {row}");
        for test in named {
            let (file, name) = test.split_once("::").unwrap();
            let path = match file.starts_with("crates/") {
                true => root().join(file),
                false => root().join("tests/tests/all").join(file),
            };
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let attribute = text.split(&format!("fn {name}()")).next().unwrap();
            let is_test = attribute.len() < text.len()
                && attribute
                    .trim_end()
                    .trim_end_matches("async")
                    .trim_end()
                    .ends_with(']');
            if !is_test {
                missing.push(test);
            }
        }
    }
    assert!(missing.is_empty(), "renamed or removed: {missing:#?}");
}
