//! Neither linter has anything to say about either document.

use std::process::Command;

use weir_tests::project;

#[test]
fn linters_find_nothing_in_the_documents() {
    // Asked for first, so that what is missing is named.
    project::node_tools();
    super::run(&mut Command::new(
        project::root().join("scripts/lint-openapi"),
    ));
}

#[test]
fn our_own_rules_find_what_they_are_for() {
    let folder = tempfile::tempdir().unwrap();
    let whole = project::printed("openapi");
    let spectral = project::node_tools().join("node_modules/.bin/spectral");
    for (rule, good, bad) in [
        ("weir-operation-id", "\"get_whoami\"", "\"getWhoAmI\""),
        (
            "weir-stability",
            "\"x-stability\": \"stable\"",
            "\"x-stability\": \"perhaps\"",
        ),
        (
            "weir-problem-by-default",
            "\"application/problem+json\"",
            "\"application/json\"",
        ),
        ("weir-default-response", "\"default\": {\n", "\"499\": {\n"),
        ("weir-page", "\"next_cursor\": {", "\"next\": {"),
    ] {
        assert!(whole.contains(good), "{good}");
        let broken = folder.path().join(format!("{rule}.json"));
        std::fs::write(&broken, whole.replace(good, bad)).unwrap();
        let ruleset = project::root().join("tests/clients/spectral.yaml");
        let output = Command::new(&spectral)
            .arg("lint")
            .arg("--ruleset")
            .arg(ruleset)
            .arg(broken)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            !output.status.success() && said.contains(rule),
            "{rule}: {said}"
        );
    }
}
