//! Clients generated from the document compile, and what the service answers
//! is what their types say.

use std::os::unix::fs::symlink;
use std::process::Command;

use weir_tests::{Service, project};

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_typescript_client_works() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let clients = project::root().join("tests/clients");
    super::copy(&clients.join("typescript"), folder.path());
    let package = std::fs::read(clients.join("package.json")).unwrap();
    std::fs::write(folder.path().join("package.json"), package).unwrap();
    std::fs::write(folder.path().join("weir.json"), project::printed("openapi")).unwrap();
    let modules = project::node_tools().join("node_modules");
    symlink(&modules, folder.path().join("node_modules")).unwrap();
    let tool = |name: &str| {
        let mut command = Command::new(modules.join(".bin").join(name));
        command.current_dir(folder.path());
        command
    };
    super::run(tool("openapi-typescript").args(["weir.json", "-o", "weir.d.ts"]));
    super::run(tool("tsc").args(["-p", "tsconfig.json"]));
    let mut program = Command::new("node");
    let program = program
        .arg(folder.path().join("out/program.js"))
        .env("WEIR_URL", service.client.base())
        .env("WEIR_KEY", service.client.key());
    let said = super::run(program);
    assert!(said.contains("the generated client works"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_python_client_works() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("weir.json");
    std::fs::write(&document, project::printed("openapi")).unwrap();
    let ours = project::root().join("tests/clients/python");
    let python = project::python();
    let programs = python.parent().unwrap();
    let mut generator = Command::new(programs.join("openapi-python-client"));
    let generator = generator
        .args(["generate", "--meta", "none", "--fail-on-warning"])
        .arg("--path")
        .arg(&document)
        .arg("--config")
        .arg(ours.join("config.yaml"))
        .arg("--output-path")
        .arg(folder.path().join("weir_client"))
        // Its formatter is in the same folder.
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
    super::run(generator);
    let mut program = Command::new(&python);
    let program = program
        .arg(ours.join("program.py"))
        .env("PYTHONPATH", folder.path())
        .env("WEIR_URL", service.client.base())
        .env("WEIR_KEY", service.client.key());
    let said = super::run(program);
    assert!(said.contains("the generated client works"), "{said}");
}
