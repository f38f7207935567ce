//! The service and its document agree, asked by a tool that reads the document
//! and tries what it allows and what it forbids. Here for a short while as each
//! role; `scripts/fuzz-api` does it at length.

use std::process::Command;

use weir_tests::{Options, project, setting};

/// Seconds of each role.
const SECONDS: &str = "25";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_says_is_what_the_service_does() {
    let options = Options::fresh().await;
    let files = options.data().with_file_name("files");
    std::fs::create_dir(&files).unwrap();
    let service = options
        .env("WEIR_FILE_ROOTS", &files.display().to_string())
        .env("WEIR_EGRESS", "127.0.0.0/8,::1/128")
        .start()
        .await;
    let mut program = Command::new(project::root().join("scripts/fuzz-api"));
    program
        .arg("20000")
        .env("WEIR_TEST_PYTHON", project::python())
        .env("WEIR_FUZZ_URL", service.client.base())
        .env("WEIR_FUZZ_KEY", service.client.key())
        .env("WEIR_FUZZ_FILES", &files)
        .env("WEIR_FUZZ_SECONDS", SECONDS)
        .env(
            "WEIR_FUZZ_SEED",
            setting("WEIR_TEST_SEED").unwrap_or_default(),
        );
    let said = tokio::task::block_in_place(|| super::run(&mut program));
    for role in ["reader", "editor", "admin"] {
        let summary = said
            .lines()
            .find(|line| line.starts_with(role) && line.contains("nothing found"));
        let summary = summary.unwrap_or_else(|| panic!("{role}: no summary in\n{said}"));
        println!("{summary}");
        let made: usize = summary.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(made > 200, "{summary}");
    }
}
