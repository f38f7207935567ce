//! Reads `WEIR_SOURCES_FILE` and has it applied.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use weir_api::sources_file::apply as apply_entries;
use weir_api::state::App;
use weir_core::Kind;

use crate::serve::explained;
use crate::settings::Settings;

/// Larger is refused before it is read.
const LARGEST: u64 = 16 << 20;

/// Applies the file that the settings name. An entry that cannot be applied
/// ends the start; a sealed store only puts it off.
pub async fn apply(settings: &Settings, app: &App) -> Result<()> {
    let Some(path) = &settings.sources_file else {
        return Ok(());
    };
    let shown = path.display();
    let entries = read(path)?;
    let applied = match apply_entries(app, entries).await {
        Ok(applied) => applied,
        Err(error) if error.kind() == Kind::Sealed => {
            tracing::error!("sources file {shown} not applied: the store is sealed");
            return Ok(());
        }
        Err(error) => {
            return Err(explained(error)).with_context(|| format!("the sources file {shown}"));
        }
    };
    for kept in &applied.kept {
        tracing::warn!("sources file {shown}: not removed: {kept}");
    }
    if !applied.refused.is_empty() {
        bail!("the sources file {shown}: {}", applied.refused.join("; "));
    }
    tracing::info!(
        created = applied.created.join(","),
        updated = applied.updated.join(","),
        removed = applied.removed.join(","),
        unchanged = applied.unchanged,
        "sources file applied"
    );
    Ok(())
}

/// The file as JSON. Its text is never quoted: it may hold secrets.
fn read(path: &Path) -> Result<Value> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .with_context(|| format!("cannot read the sources file {shown}"))?
        .len();
    if size > LARGEST {
        bail!("the sources file {shown} is larger than {LARGEST} bytes");
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the sources file {shown}"))?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text[..span.start.min(text.len())].lines().count().max(1)
            });
            anyhow::anyhow!(
                "the sources file {shown} is not TOML, at line {line}: {}",
                error.message()
            )
        }),
        Some("json") => serde_json::from_str(&text)
            .map_err(|error| anyhow::anyhow!("the sources file {shown} is not JSON: {error}")),
        _ => bail!("the sources file {shown} must end in .toml or .json"),
    }
}
