//! Objects with a unique name and labels, whatever they are: sources,
//! credentials, recipes. How one is found, and how a page of them is listed.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;
use weir_core::{Error, Kind, Page, Result};

use crate::connection::{Store, bounded};
use crate::failure::failed;
use crate::scopes::Scopes;

/// How an object is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectRef {
    /// By id.
    Id(Uuid),
    /// By name.
    Name(String),
}

/// Which objects to list.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only what is inside of these.
    pub scopes: Scopes,
    /// Only credentials of this kind.
    pub kind: Option<String>,
    /// Only sources of this connector, or credentials that are of this kind or
    /// that such a source attaches.
    pub connector: Option<String>,
    /// All of these labels.
    pub label: Vec<(String, String)>,
    /// Part of the name, without case.
    pub search: Option<String>,
    /// After this name.
    pub after: Option<String>,
    /// Items at most.
    pub limit: usize,
}

/// A row of an object with a name and labels.
pub(crate) trait Named: for<'r> FromRow<'r, PgRow> + Send + Unpin {
    /// What the statement calls the table that has the name.
    const TABLE: &'static str;

    /// The condition for the kind `$6` and the connector `$7`.
    const ONLY: &'static str = "$6::text is null and $7::text is null";

    /// The statement up to its `where`; made of constants alone.
    fn select() -> String;

    /// The name.
    fn name(&self) -> &str;
}

/// The one place where a statement is put together: what `T` selects and a
/// constant condition.
pub(crate) fn select<T: Named>(condition: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("{} where {condition}", T::select()))
}

/// The same, with a condition in which `{t}` is the table of `T`.
fn select_named<T: Named>(condition: &'static str) -> AssertSqlSafe<String> {
    let condition = condition.replace("{only}", T::ONLY);
    let condition = condition.replace("{t}", T::TABLE);
    AssertSqlSafe(format!("{} where {condition}", T::select()))
}

impl Store {
    /// The object with this id or name, if it is inside of `scopes`.
    pub(crate) async fn find_named<T: Named>(
        &self,
        reference: &ObjectRef,
        scopes: &Scopes,
    ) -> Result<Option<T>> {
        let query = match reference {
            ObjectRef::Id(id) => sqlx::query_as(select_named::<T>(
                "{t}.id = $1 and {t}.name is not null and ($2::jsonb[] is null or {t}.labels @> any ($2))",
            ))
            .bind(*id),
            ObjectRef::Name(name) => sqlx::query_as(select_named::<T>(
                "{t}.name = $1 and ($2::jsonb[] is null or {t}.labels @> any ($2))",
            ))
            .bind(name),
        };
        let query = query.bind(scopes.documents());
        bounded(async { query.fetch_optional(&self.pool).await.map_err(failed) }).await
    }

    /// A page of objects, by name.
    pub(crate) async fn list_named<T: Named>(&self, filter: &ListFilter) -> Result<Page<T>> {
        // One document for each label: two values for one key match nothing.
        let labels: Vec<Json<BTreeMap<&str, &str>>> = filter
            .label
            .iter()
            .map(|(key, value)| Json([(key.as_str(), value.as_str())].into()))
            .collect();
        let query = sqlx::query_as(select_named::<T>(
            "{t}.name is not null and {t}.labels @> all ($1) \
             and ($2::text is null or strpos(lower({t}.name), lower($2)) > 0) \
             and ($3::text is null or {t}.name > $3) \
             and ($4::jsonb[] is null or {t}.labels @> any ($4)) \
             and {only} order by {t}.name limit $5",
        ))
        .bind(labels)
        .bind(&filter.search)
        .bind(&filter.after)
        .bind(filter.scopes.documents())
        .bind(one_more(filter.limit))
        .bind(&filter.kind)
        .bind(&filter.connector);
        let items = bounded(async { query.fetch_all(&self.pool).await.map_err(failed) }).await?;
        Ok(page(items, filter.limit, |row: &T| row.name().to_owned()))
    }
}

/// Rows to ask for, to see whether there are more than fit into a page.
pub(crate) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

/// The page of rows of which one more was asked for; `place` is where a row
/// stands in the list.
pub(crate) fn page<T>(mut items: Vec<T>, limit: usize, place: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = more.then(|| items.last().map(place)).flatten();
    Page { items, next }
}

/// Compares the revision that `what` has with the one that a change expects.
pub(crate) fn check_revision(what: &str, revision: i64, expected: Option<i64>) -> Result<()> {
    if expected.is_none_or(|expected| expected == revision) {
        return Ok(());
    }
    let message = format!("the {what} changed in the meantime");
    Err(Error::new(Kind::PreconditionFailed, message)
        .hint("GET it again and repeat the change with its new ETag"))
}

/// What it means that `what` was removed before it could be changed.
pub(crate) fn gone(what: &str) -> Error {
    Error::new(Kind::NotFound, format!("the {what} is gone"))
}

/// There is another `what` with the name.
pub(crate) fn name_taken(what: &str, name: &str) -> Error {
    let message = format!("there is already {what} `{name}`");
    let existing = what.rsplit(' ').next().unwrap_or(what);
    Error::new(Kind::Conflict, message.clone())
        .code("name_taken")
        .hint(format!(
            "choose another name, or change the existing {existing}"
        ))
        .at("/name", message)
}

/// Whether an error of the database says that a value must be unique.
pub(crate) fn is_taken(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(said) if said.is_unique_violation())
}
