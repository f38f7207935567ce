use proptest::prelude::*;

use super::*;
use weir_core::Kind;

const READS: [&str; 40] = [
    "SELECT 1",
    "select 1;",
    "select 1 ; ; -- done",
    "VALUES (1, 'a'), (2, 'b')",
    "TABLE t",
    "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n",
    "SELECT * FROM t WHERE name = 'delete from t; drop table t'",
    "SELECT 'insert', \"update\" FROM \"delete\"",
    "SELECT $$drop table x; commit$$",
    "SELECT $tag$ ; commit; $tag$",
    "SELECT E'it\\'s; drop table x'",
    "-- comment; drop table x\nSELECT 1",
    "/* a /* nested */ comment; drop table x */ SELECT 1",
    "SELECT a.b, count(*) FILTER (WHERE c > 1) FROM t AS a GROUP BY 1 HAVING count(*) > 2",
    "SELECT * FROM t WHERE id = $1 AND at > $2::timestamptz",
    "SELECT id FROM a UNION ALL SELECT id FROM b EXCEPT SELECT id FROM c",
    "SELECT * FROM a LEFT JOIN b USING (id) CROSS JOIN LATERAL (SELECT b.x) l",
    "SELECT sum(x) OVER (PARTITION BY y ORDER BY z ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT j->'a'->>'b', j #>> '{a,b}', j @> '{}' FROM t",
    "SELECT ARRAY[1, 2][1], '{1,2}'::int[]",
    "SELECT x::numeric(10,2), CAST(y AS text) FROM t",
    "SELECT * FROM generate_series(1, 10) WITH ORDINALITY AS g(a, b)",
    "SELECT pg_sleep(0.1)",
    "SELECT * FROM t ORDER BY a DESC NULLS LAST LIMIT 10 OFFSET 5",
    "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b",
    "SELECT * FROM t TABLESAMPLE SYSTEM (1)",
    "SELECT CASE WHEN a THEN 1 ELSE 2 END FROM t",
    "SELECT * FROM t WHERE a LIKE 'x%' AND b ILIKE '%y' AND c ~ '^z'",
    "SELECT interval '1 day', date '2024-01-01', timestamptz '2024-01-01 00:00:00Z'",
    "SELECT now() AT TIME ZONE 'UTC'",
    "SELECT string_agg(a, ',' ORDER BY a) FROM t",
    "SELECT EXISTS (SELECT 1 FROM t), (SELECT max(a) FROM t)",
    "SELECT a FROM t WHERE (a, b) IN (SELECT 1, 2)",
    "SELECT pg_catalog.lower('A') || pg_catalog.upper('b')",
    "SELECT * FROM t WHERE a IS NOT DISTINCT FROM b",
    "SELECT extract(epoch FROM now())",
    "SELECT row_to_json(t) FROM t",
    "SELECT set_config_name, nextval FROM t",
    "SELECT lo_get(5), pg_relation_size('t')",
];

const REFUSED: [&str; 75] = [
    "INSERT INTO t VALUES (1)",
    "UPDATE t SET a = 1",
    "DELETE FROM t",
    "delete from t where 1 = 1 returning *",
    "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
    "TRUNCATE t",
    "DROP TABLE t",
    "CREATE TABLE t (a int)",
    "CREATE TABLE t AS SELECT 1",
    "ALTER TABLE t ADD COLUMN b int",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'",
    "GRANT SELECT ON t TO x",
    "COPY t TO '/tmp/x'",
    "COPY t FROM PROGRAM 'id'",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "DO $$ BEGIN DELETE FROM t; END $$",
    "CALL p()",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "SET x = 1",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET TRANSACTION READ WRITE",
    "RESET ALL",
    "LISTEN x",
    "NOTIFY x",
    "LOCK TABLE t",
    "VACUUM",
    "ANALYZE t",
    "DISCARD ALL",
    "EXPLAIN ANALYZE DELETE FROM t",
    "EXPLAIN ANALYZE SELECT 1",
    "SHOW all",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE t",
    "COMMIT; DROP TABLE t",
    "/* x */ -- y\n delete from t",
    "SELECT * INTO n FROM t",
    "SELECT 1 INTO TEMP n",
    "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
    "WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a",
    "WITH a AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM a",
    "WITH a AS (SELECT 1) DELETE FROM t",
    "WITH a AS (WITH b AS (DELETE FROM t RETURNING *) SELECT * FROM b) SELECT * FROM a",
    "SELECT * FROM (SELECT * FROM t FOR UPDATE) x",
    "SELECT * FROM t FOR SHARE",
    "SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT PG_READ_FILE('/etc/passwd')",
    "SELECT \"pg_read_file\"('/etc/passwd')",
    "SELECT pg_catalog.pg_read_file /* x */ ('/etc/passwd')",
    "SELECT \"pg_catalog\" . \"pg_read_binary_file\" ('x')",
    "SELECT * FROM pg_ls_dir('.')",
    "SELECT * FROM ROWS FROM (pg_ls_dir('.')) AS x",
    "SELECT * FROM t, LATERAL pg_stat_file(t.a)",
    "SELECT a FROM t ORDER BY pg_terminate_backend(a)",
    "SELECT a FROM t WHERE pg_try_advisory_lock(a)",
    "SELECT pg_advisory_xact_lock_shared(1)",
    "SELECT count(*) FILTER (WHERE set_config('a.b', 'c', false) = 'c') FROM t",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT lo_import('/tmp/x')",
    "SELECT * FROM dblink('host=x', 'delete from t') AS t(a int)",
    "SELECT dblink_exec('x', 'y')",
    "SELECT query_to_xml('delete from t', true, false, '')",
    "SELECT nextval('s'), setval('s', 1)",
    "SELECT pg_create_logical_replication_slot('a', 'b')",
    "SELECT pg_notify('a', 'b')",
    "SELECT pg_reload_conf()",
    "VALUES (pg_cancel_backend(1))",
    "SELECT U&\"pg\\005fread_file\"('/etc/passwd')",
    "SELECT 1 --\r, pg_read_file('/etc/passwd')",
];

#[test]
fn reads_pass() {
    for text in READS {
        assert!(check(text).is_ok(), "{text}: {:?}", check(text));
    }
}

#[test]
fn everything_else_is_refused() {
    for text in REFUSED {
        let error = check(text).expect_err(text);
        let code = error.stable_code();
        assert!(
            ["read_only", "query_not_understood", "unsupported"].contains(&code),
            "{text}: {code}"
        );
        assert_eq!(error.fields()[0].pointer, "/query", "{text}");
        assert!(error.hint_text().is_some(), "{text}");
    }
}

#[test]
fn what_was_found_is_named() {
    let said = |text: &str| check(text).unwrap_err().message().to_owned();
    assert!(said("DELETE FROM t").contains("DELETE"));
    assert!(said("SELECT 1; DROP TABLE t").contains("DROP"));
    assert!(
        said("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a").contains("DELETE inside")
    );
    assert!(said("SELECT x.PG_Read_File('a')").contains("PG_Read_File"));
    assert_eq!(check("DELETE FROM t").unwrap_err().kind(), Kind::ReadOnly);
    assert!(said("/* x */ do $$ begin end $$").contains("DO"));
    assert_eq!(
        check("REFRESH MATERIALIZED VIEW m").unwrap_err().kind(),
        Kind::ReadOnly
    );
    assert_eq!(
        check("SELECT * FROM WHERE ,").unwrap_err().stable_code(),
        "query_not_understood"
    );
}

#[test]
fn only_the_statement_itself_is_given() {
    assert_eq!(check("  select 'ä;' ; -- x\n;").unwrap(), "select 'ä;'");
    assert_eq!(check("select 1 -- x").unwrap(), "select 1");
    assert_eq!(check("select\n'ü' as a\n;\n").unwrap(), "select\n'ü' as a");
    assert!(check(";").is_err() && check("-- only").is_err());
}

#[test]
fn depth_does_not_overflow() {
    for (head, part, tail) in [
        ("SELECT 1", "+1", ""),
        ("SELECT true", " and true", ""),
        ("SELECT 1", "::int", ""),
        ("SELECT ", "- ", "1"),
        ("SELECT ", "not ", "true"),
        ("SELECT ", "(", "1"),
        ("SELECT 1", " union select 1", ""),
        ("SELECT a", "[1]", ""),
        ("SELECT 1 ", "collate \"C\" ", ""),
    ] {
        for count in [50, 4_000, 9_900, 100_000] {
            let _ = check(&format!("{head}{}{tail}", part.repeat(count)));
        }
    }
    assert!(check(&format!("SELECT 1 WHERE 1 IN ({}1)", "1,".repeat(100_000))).is_ok());
    assert!(check(&format!("SELECT 1{}", "+1".repeat(9_000))).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".{0,200}") {
        let _ = check(&text);
    }

    #[test]
    fn shuffled_statements_are_answered(
        parts in prop::collection::vec(prop::sample::select(
            ["SELECT", "FROM", "WITH", "AS", "(", ")", ",", ";", "--", "/*", "*/", "'", "\"", "$$", "$1", "DELETE", "t",
             "INTO", "FOR UPDATE", "::", "nextval", "E'", "U&", "\\", "\n", "\r", "é"].as_slice()), 0..40),
        glue in prop::sample::select(["", " "].as_slice()),
    ) {
        let text = parts.join(glue);
        if let Ok(statement) = check(&text) {
            prop_assert!(text.contains(statement));
        }
    }

    #[test]
    fn a_denied_call_is_seen_wherever_it_stands(
        place in 0_usize..6,
        name in prop::sample::select(["pg_read_file", "setval", "dblink", "pg_advisory_lock"].as_slice()),
        upper: bool,
    ) {
        let name = if upper { name.to_uppercase() } else { name.to_owned() };
        let places = ["SELECT {}", "SELECT 1 WHERE {} IS NULL", "SELECT * FROM {} x", "VALUES (1, {})",
            "SELECT 1 LIMIT {}", "SELECT a FROM (SELECT {}) AS q(a)"];
        let text = places[place].replace("{}", &format!("{name}('a')"));
        prop_assert_eq!(check(&text).unwrap_err().kind(), Kind::ReadOnly);
    }
}
