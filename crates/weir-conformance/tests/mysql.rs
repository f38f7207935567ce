//! The suite over the connector for MySQL, on a real MariaDB server.

mod common;

use std::sync::Arc;

use common::{context, expect};
use weir_conformance::{ExpectSink, check_all, check_sink, passed, verdict};
use weir_core::{Context, StreamId};
use weir_net::{Dialer, Egress};
use weir_tests::MyDatabase;
use weir_tests::conformance::recorded;

const SERVER: &str = "a MariaDB server over TCP with TLS, with LOAD DATA LOCAL allowed and not; MySQL itself was not tried";

/// Values and nulls of many types, names that need quotes, and neighbours
/// for discovery to page through.
const TABLES: &str = r#"
    create table `my "table.x` (
        id bigint primary key,
        `Good Col` varchar(50),
        amount decimal(12, 2),
        at timestamp(6) null,
        flag boolean,
        `raw` blob,
        doc json,
        big bigint unsigned,
        day date
    );
    insert into `my "table.x`
    select seq,
           if(seq % 3 > 0, concat('Text ', seq * 7919 % 1000), null),
           if(seq % 4 > 0, seq / 100, null),
           if(seq % 5 > 0, now(6), null),
           if(seq % 2 > 0, seq % 3, null),
           if(seq % 7 > 0, 'bytes', null),
           if(seq % 6 > 0, '{"a": 1}', null),
           18446744073709551615 - seq,
           if(seq % 9 > 0, date_add('2000-01-01', interval seq day), null)
    from seq_1_to_20000;
    create table a (x int);
    create view b as select 1 as one;
    create table c (id int);
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_conforms() {
    weir_net::install_crypto();
    let database = MyDatabase::with(TABLES);
    let ctx = Context {
        dialer: Arc::new(Dialer::new(Egress::default())),
        ..context()
    };
    for order_by in ["Good Col", "amount", "id", "big", "day"] {
        let expect = expect(&[&database.name, "my \"table.x"], 20_000, order_by);
        let connector = connect_sql::mysql::entry();
        let cases = check_all(&*connector, database.config(), &ctx, expect).await;
        assert_eq!(verdict(&cases), Ok(()), "ordered by {order_by}");
        recorded("mysql", "source", SERVER, &passed(&cases));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_conforms_as_a_sink() {
    weir_net::install_crypto();
    let database = MyDatabase::create();
    let ctx = Context {
        dialer: Arc::new(Dialer::new(Egress::default())),
        ..context()
    };
    let expect = ExpectSink {
        stream: |name| StreamId::from_parts([name]),
        append: true,
        keys: true,
        left_out: &[],
        // Times come back as durations, instants without their zone, lists and
        // records as JSON, intervals as text, and -0 as 0.
        lossy: &[
            "time", "time_ms", "at_zone", "interval", "list", "record", "float32", "float64",
        ],
    };
    let connector = connect_sql::mysql::entry();
    for local_infile in [1, 0] {
        weir_tests::mariadb::sql("", &format!("SET GLOBAL local_infile = {local_infile}"));
        database.run(&format!(
            "DROP DATABASE {0}; CREATE DATABASE {0} CHARACTER SET utf8mb4",
            database.name
        ));
        let expect = expect.clone();
        let cases = check_sink(&*connector, database.owner_config(), &ctx, expect).await;
        assert_eq!(verdict(&cases), Ok(()), "local_infile {local_infile}");
        recorded("mysql", "sink", SERVER, &passed(&cases));
    }
}
