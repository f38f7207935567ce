//! A recipe where steps are taken: `name`, or `name@3` for one version.

use weir_core::config::nearest;
use weir_core::{Error, Result};
use weir_store::Steps;

use crate::auth::Caller;
use crate::lookup::reference;
use crate::state::App;

/// A recipe that was asked for.
#[derive(Debug)]
pub struct Named {
    /// Name and version, for messages.
    pub title: String,
    /// What it does.
    pub steps: Steps,
}

/// Looks `given` up, which stands at `pointer`.
pub async fn named(app: &App, caller: &Caller, given: &str, pointer: &str) -> Result<Named> {
    let (name, version) = match given.split_once('@') {
        None => (given, None),
        Some((name, version)) => {
            let number = version.parse::<i32>().ok().filter(|number| *number > 0);
            let number = number.ok_or_else(|| {
                let message = "a recipe is `name`, or `name@3` for one of its versions";
                Error::invalid(pointer, message)
            })?;
            (name, Some(number))
        }
    };
    let found = app
        .store
        .find_recipe(&reference(name), &caller.scopes)
        .await?;
    let Some(row) = found else {
        return Err(unknown(app, caller, name, pointer).await?);
    };
    let newest = row.version;
    let steps = match version {
        Some(version) if version != newest => {
            let found = app.store.recipe_version(row.id, version).await?;
            let found = found.ok_or_else(|| {
                let message = format!(
                    "the recipe `{}` has no version {version}; its newest is {newest}",
                    row.name
                );
                Error::invalid(pointer, message)
                    .code("unknown_recipe")
                    .hint("GET /v1/recipes/{recipe}/versions lists them")
            })?;
            Steps {
                steps: found.steps,
                column_types: found.column_types,
            }
        }
        _ => Steps {
            steps: row.steps,
            column_types: row.column_types,
        },
    };
    Ok(Named {
        title: format!("{}@{}", row.name, version.unwrap_or(newest)),
        steps,
    })
}

async fn unknown(app: &App, caller: &Caller, name: &str, pointer: &str) -> Result<Error> {
    let known = app.store.recipe_names(&caller.scopes).await?;
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let shown: String = name.chars().take(64).collect();
    let message = match nearest(name, &known) {
        Some(near) => format!("no recipe `{shown}`; did you mean `{near}`?"),
        None => format!("no recipe `{shown}`"),
    };
    Ok(Error::invalid(pointer, message)
        .code("unknown_recipe")
        .hint("GET /v1/recipes lists the recipes your key may see"))
}
