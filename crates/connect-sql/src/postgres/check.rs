//! The steps of a test, each with what was found or what is wrong.

use std::sync::Arc;

use weir_core::{Context, Result, TestReport};
use weir_net::TlsMode;

use super::catalog::get;
use super::client::{Session, Way};
use super::lease::Pool;

/// What the login may do that reading does not need. The last one stops at the
/// first table that may be written.
const RIGHTS: &str = "
SELECT pg_catalog.current_setting('server_version'),
       pg_catalog.current_setting('is_superuser') = 'on',
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
       EXISTS (
         SELECT 1 FROM pg_catalog.pg_namespace n
         WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
           AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')),
       EXISTS (
         SELECT 1 FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f', 'v') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
           AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))";

/// Walks from the address to a trivial query.
pub async fn walk(pool: &Arc<Pool>, ctx: &Context, report: &mut TestReport) -> Result<()> {
    // A test counts among the connections of the source like everything else.
    let _place = pool.keeper.place().await?;
    let way = &pool.way;
    let endpoint = &way.target.endpoint;
    let addresses = report
        .step("resolve", async {
            let addresses = ctx.dialer.resolve(endpoint).await?;
            let found: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
            Ok((addresses, Some(found.join(", "))))
        })
        .await?;
    let stream = report
        .step("connect", async {
            let stream = ctx.dialer.connect(endpoint, &addresses).await?;
            Ok((stream, Some(format!("{}:{}", endpoint.host, endpoint.port))))
        })
        .await?;
    let (stream, encrypted) = report
        .step("tls", async {
            let (stream, encrypted) = way.in_time(way.secure(stream)).await?;
            Ok((
                (stream, encrypted),
                Some(tls_detail(way.tls_mode(), encrypted).to_owned()),
            ))
        })
        .await?;
    let mut session = report
        .step("login", async {
            let session = way
                .in_time(way.log_in(stream, encrypted, addresses.clone()))
                .await?;
            Ok((
                session,
                Some(format!(
                    "as {} into {}",
                    way.target.user, way.target.database
                )),
            ))
        })
        .await?;
    let warnings = report.step("query", query(way, &mut session)).await?;
    report.server_version = warnings.server_version;
    for warning in warnings.texts {
        report.warn("rights", warning);
    }
    Ok(())
}

fn tls_detail(mode: TlsMode, encrypted: bool) -> &'static str {
    match (mode, encrypted) {
        (_, false) => "not encrypted: everything, also what logs in, can be read on the way",
        (TlsMode::VerifyFull, true) => "encrypted; certificate and host name verified",
        (TlsMode::VerifyCa, true) => "encrypted; certificate verified, host name not",
        (TlsMode::Disable | TlsMode::Prefer | TlsMode::Require, true) => {
            "encrypted; the certificate is not verified, so anybody in between could answer"
        }
    }
}

#[derive(Default)]
struct Found {
    server_version: Option<String>,
    texts: Vec<String>,
}

async fn query(way: &Way, session: &mut Session) -> Result<(Found, Option<String>)> {
    let rows = way.in_time(session.rows(RIGHTS, &[])).await?;
    let Some(row) = rows.first() else {
        return Ok((Found::default(), None));
    };
    let version: String = get(row, 0)?;
    let mut found = Found {
        server_version: Some(format!("PostgreSQL {version}")),
        texts: Vec::new(),
    };
    let user = &way.target.user;
    if get::<bool>(row, 1)? {
        found.texts.push(format!(
            "{user} is a superuser; a role that can only read is enough and safer"
        ));
        return Ok((found, None));
    }
    let rights = [
        (2, "make schemas in the database"),
        (3, "make objects in a schema"),
        (4, "change rows of tables"),
    ];
    for (index, what) in rights {
        if get::<bool>(row, index)? {
            found.texts.push(format!(
                "{user} may {what}; a role that can only read is enough and safer"
            ));
        }
    }
    Ok((found, None))
}
