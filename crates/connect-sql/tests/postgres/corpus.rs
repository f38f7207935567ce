//! Two hundred statements that write, reach out or try to: each is refused, or
//! leaves the database as it was. They run as its owner, who may do everything.

use std::process::Command;

use weir_core::{Context, Deadline, Read};
use weir_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD, server, tool};

use super::support::{Database, collect, context, open, query};

/// One a line.
const STATEMENTS: &str = include_str!("corpus.sql");

const OBJECTS: &str = "
    create table t (id int primary key, a text, n int);
    insert into t select i, 'text ' || i, i % 7 from generate_series(1, 100) i;
    create table log (said text);
    create sequence s;
    select nextval('s');
    create view v as select * from t;
    create materialized view mv as select count(*) from t;
    create function writes() returns int language plpgsql volatile as
      $$ begin insert into log values ('called'); return 1; end $$;
    create function truncates() returns int language plpgsql volatile as
      $$ begin execute 'truncate log'; return 1; end $$;
    create procedure p() language sql as 'insert into log values (1)';
    create rule r as on insert to v do instead insert into log values ('rule');
    create view sneaky as select writes() as x;
    create type mood as enum ('sad', 'ok');
    select lo_from_bytea(4711, 'large');";

fn dump(database: &Database) -> String {
    let output = Command::new(tool("pg_dump"))
        .args(["-h", "127.0.0.1", "-U", SUPERUSER, "-p"])
        .arg(server().port.to_string())
        .arg(&database.name)
        .env("PGPASSWORD", SUPERUSER_PASSWORD)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("text 100"));
    // Newer ones bring a key that is another one each time.
    let is_same =
        |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.lines().filter(is_same).collect::<Vec<_>>().join("\n")
}

async fn outcome(source: &weir_core::OpenSource, text: &str) -> Result<usize, weir_core::Error> {
    let ctx = Context {
        deadline: Deadline::after(std::time::Duration::from_secs(3)),
        ..context()
    };
    let read = Read {
        limit: Some(1_000),
        ..query(text, Vec::new())
    };
    Ok(collect(source.scan(&ctx, &read).await?).await?.num_rows())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_statements_change_nothing() {
    let database = Database::create().await;
    // As its owner, who owns what is made.
    database
        .run(&format!("set role {}; {OBJECTS}", database.owner))
        .await;
    let source = open(database.owner_config()).await.unwrap();
    let before = dump(&database);
    let (mut count, mut refused) = (0, 0);
    for line in STATEMENTS.lines().filter(|line| !line.is_empty()) {
        let text = line.replace("\\n", "\n").replace("\\r", "\r");
        count += 1;
        if let Err(error) = outcome(&source, &text).await {
            assert_ne!(error.stable_code(), "internal", "{line}: {error}");
            refused += 1;
        }
    }
    assert!(count >= 200, "{count} statements");
    println!("{count} statements, {refused} refused");
    assert!(refused > 150, "{refused} of {count} refused");
    assert_eq!(dump(&database), before);
}
