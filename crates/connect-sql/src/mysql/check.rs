//! The steps of a test, each with what was found or what is wrong.

use std::sync::Arc;

use weir_core::{Context, Result, TestReport};
use weir_net::TlsMode;

use super::client::{Greeted, Session, Way};
use super::lease::Pool;

/// What the login may do that reading does not need.
const RIGHTS: &str = "SHOW GRANTS FOR CURRENT_USER()";

/// Rights that only read, or that a login cannot be without.
const HARMLESS: [&str; 8] = [
    "USAGE",
    "SELECT",
    "SHOW VIEW",
    "SHOW DATABASES",
    "PROCESS",
    "PROXY",
    "REPLICATION CLIENT",
    "BINLOG MONITOR",
];

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
    let greeted = report
        .step("tls", async {
            let greeted = way.in_time(way.greeted(stream, addresses, false)).await?;
            let detail = tls_detail(way.tls_mode(), greeted.cover.is_encrypted);
            Ok((greeted, Some(detail.to_owned())))
        })
        .await?;
    report.server_version = Some(version(&greeted));
    let mut session = report
        .step("login", async {
            let session = way.in_time(way.log_in(greeted)).await?;
            Ok((session, Some(format!("as {}", way.target.user))))
        })
        .await?;
    let warning = report.step("query", query(way, &mut session)).await?;
    if let Some(warning) = warning {
        report.warn("rights", warning);
    }
    Ok(())
}

fn version(greeted: &Greeted) -> String {
    match greeted.greeting.is_mariadb() {
        true => format!(
            "MariaDB {}",
            greeted.greeting.version.replace("-MariaDB", "")
        ),
        false => format!("MySQL {}", greeted.greeting.version),
    }
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

async fn query(way: &Way, session: &mut Session) -> Result<(Option<String>, Option<String>)> {
    way.in_time(session.rows("SELECT 1", &[])).await?;
    // Who may not ask this is not warned.
    let Ok(rows) = way.in_time(session.rows(RIGHTS, &[])).await else {
        return Ok((None, None));
    };
    let grants = rows.iter().filter_map(|row| row.first()?.as_deref());
    let user = &way.target.user;
    let warning = grants.into_iter().any(may_write).then(|| {
        format!("{user} may do more than read; a user that can only read is enough and safer")
    });
    Ok((warning, None))
}

/// Whether a grant is of more than reading.
fn may_write(grant: &str) -> bool {
    let Some(rights) = grant
        .strip_prefix("GRANT ")
        .and_then(|rest| rest.split_once(" ON "))
    else {
        return false;
    };
    // A list of columns stands in parentheses after its right.
    let mut rights = rights.0.to_owned();
    while let (Some(open), Some(close)) = (rights.find('('), rights.find(')')) {
        if open > close {
            break;
        }
        rights.replace_range(open..=close, "");
    }
    rights
        .split(',')
        .any(|right| !HARMLESS.contains(&right.trim()))
}

#[cfg(test)]
mod tests {
    use super::may_write;

    #[test]
    fn grants_that_only_read_are_told_from_others() {
        for (grant, writes) in [
            (
                "GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*A'",
                false,
            ),
            ("GRANT SELECT, SHOW VIEW ON `a`.* TO `u`@`%`", false),
            ("GRANT SELECT (`a`, `b`) ON `a`.`t` TO `u`@`%`", false),
            ("GRANT SELECT, INSERT ON `a`.* TO `u`@`%`", true),
            ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%`", true),
            ("GRANT `role` TO `u`@`%`", false),
        ] {
            assert_eq!(may_write(grant), writes, "{grant}");
        }
    }
}
