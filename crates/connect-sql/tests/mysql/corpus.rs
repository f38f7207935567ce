//! Two hundred statements that write, reach out or try to: each is refused, or
//! leaves the database as it was. They run as its owner, who may do everything.

use std::time::Duration;

use weir_core::{Context, Deadline, Read};

use crate::support::{MyDatabase, collect, context, open, query};

/// One a line.
const STATEMENTS: &str = include_str!("corpus.sql");

const OBJECTS: &str = "
    create table t (id int primary key, a text, n int);
    insert into t select seq, concat('text ', seq), seq % 7 from seq_1_to_100;
    create table log (said text);
    create sequence s;
    create view v as select * from t;
    create procedure p() insert into log values ('procedure');
    create event e on schedule every 1 day disable do delete from t;
    create function writes() returns int no sql
      begin insert into log values ('called'); return 1; end;
    create view sneaky as select writes() as x;";

async fn outcome(source: &weir_core::OpenSource, text: &str) -> Result<usize, weir_core::Error> {
    let ctx = Context {
        deadline: Deadline::after(Duration::from_secs(2)),
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
    let database = MyDatabase::create();
    let objects = OBJECTS.replace("create function", "delimiter //\ncreate function");
    database.run(&objects.replace("end;", "end//\ndelimiter ;\n"));
    let mut config = database.owner_config();
    // With every right that there is, so that nothing but the guard and the session holds.
    weir_tests::mariadb::sql("", &format!("GRANT ALL ON *.* TO {}@'%'", database.owner));
    config["pool"] = serde_json::json!({"max": 2});
    let source = open(config).await.unwrap();
    let before = database.dump();
    let (mut count, mut refused) = (0, 0);
    for line in STATEMENTS.lines().filter(|line| !line.is_empty()) {
        let text = line.replace("\\n", "\n");
        count += 1;
        if let Err(error) = outcome(&source, &text).await {
            assert_ne!(error.stable_code(), "internal", "{line}: {error}");
            refused += 1;
        }
    }
    println!("{count} statements, {refused} refused");
    assert!(
        count >= 200 && refused > 180,
        "{refused} of {count} refused"
    );
    assert_eq!(database.dump(), before);
    assert!(!std::path::Path::new("/tmp/weir-x").exists());
}
