//! Writes every committed file that is made from the code.

use weir_tests::{generated, project};

fn main() -> anyhow::Result<()> {
    for (path, text) in generated::files() {
        let path = project::root().join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}
