//! Two hundred statements: each is refused, or runs and changes nothing.

use crate::support::*;

/// Statements that must be refused.
const REFUSED: &str = r#"
INSERT INTO t VALUES (9, 'x')
INSERT INTO t DEFAULT VALUES
INSERT OR REPLACE INTO t VALUES (1, 'x')
REPLACE INTO t VALUES (1, 'x')
UPDATE t SET name = 'x'
UPDATE OR IGNORE t SET name = 'x'
UPDATE t SET name = 'x' RETURNING id
DELETE FROM t
DELETE FROM t RETURNING *
INSERT INTO t SELECT id + 100, name FROM t RETURNING id
DROP TABLE t
DROP TABLE IF EXISTS t
DROP VIEW v
DROP INDEX i
DROP TRIGGER g
CREATE TABLE u (id)
CREATE TABLE u AS SELECT * FROM t
CREATE TEMP TABLE u (id)
CREATE TEMPORARY TABLE u AS SELECT 1
CREATE VIEW w AS SELECT 1
CREATE TEMP VIEW w AS SELECT 1
CREATE INDEX j ON t (name)
CREATE UNIQUE INDEX j ON t (name)
CREATE TRIGGER h AFTER INSERT ON t BEGIN DELETE FROM t; END
CREATE VIRTUAL TABLE f USING fts5(x)
CREATE VIRTUAL TABLE temp.f USING rtree(a, b, c)
ALTER TABLE t RENAME TO u
ALTER TABLE t ADD COLUMN x
ALTER TABLE t DROP COLUMN name
ATTACH '/tmp/x.db' AS x
ATTACH DATABASE ':memory:' AS x
ATTACH DATABASE 'file:/etc/passwd?mode=ro' AS x
ATTACH ? AS x
DETACH main
DETACH DATABASE x
VACUUM
VACUUM main
VACUUM INTO '/tmp/x.db'
VACUUM main INTO '/tmp/x.db'
REINDEX
REINDEX t
ANALYZE
ANALYZE t
ANALYZE main.t
BEGIN
BEGIN IMMEDIATE
BEGIN EXCLUSIVE TRANSACTION
COMMIT
END
END TRANSACTION
ROLLBACK
SAVEPOINT s
RELEASE s
ROLLBACK TO s
PRAGMA user_version
PRAGMA user_version = 7
PRAGMA user_version(7)
PRAGMA journal_mode = DELETE
PRAGMA journal_mode = WAL
PRAGMA writable_schema = ON
PRAGMA query_only = OFF
PRAGMA trusted_schema = ON
PRAGMA foreign_keys = OFF
PRAGMA wal_checkpoint(TRUNCATE)
PRAGMA incremental_vacuum
PRAGMA optimize
PRAGMA temp_store_directory = '/tmp'
PRAGMA data_store_directory = '/tmp'
PRAGMA hard_heap_limit = 1
PRAGMA table_info(t)
PRAGMA integrity_check
PRAGMA quick_check
PRAGMA database_list
PRAGMA mmap_size = 1000000000
PRAGMA main.cache_size = -1000000
PRAGMA shrink_memory
PRAGMA locking_mode = EXCLUSIVE
PRAGMA encoding = 'UTF-16'
PRAGMA page_size = 512
PRAGMA secure_delete = ON
PRAGMA application_id = 1
EXPLAIN SELECT 1
EXPLAIN QUERY PLAN SELECT 1
EXPLAIN DELETE FROM t
SELECT load_extension('/tmp/x.so')
SELECT load_extension('x', 'y')
SELECT LOAD_EXTENSION('x')
SELECT "load_extension"('x')
SELECT [load_extension]('x')
SELECT `load_extension`('x')
SELECT load_extension /* a */ ('x')
SELECT * FROM t WHERE load_extension('x')
SELECT fts3_tokenizer('simple')
SELECT fts3_tokenizer('x', x'0000000000000000')
SELECT readfile('/etc/passwd')
SELECT writefile('/tmp/x', 'x')
SELECT edit('x')
SELECT edit('x', 'sh')
SELECT * FROM fsdir('/')
SELECT * FROM zipfile('/tmp/x.zip')
SELECT sqlite_log(1, 'x')
SELECT * FROM pragma_table_info('t')
SELECT * FROM pragma_user_version
SELECT * FROM pragma_database_list
SELECT * FROM pragma_journal_mode
SELECT * FROM pragma_integrity_check
SELECT * FROM pragma_function_list
SELECT * FROM pragma_module_list
SELECT * FROM pragma_compile_options
SELECT * FROM t, pragma_table_info('t')
SELECT (SELECT count(*) FROM pragma_table_list)
SELECT 1; SELECT 2
SELECT 1; DROP TABLE t
SELECT 1; DROP TABLE t --
;DROP TABLE t
SELECT 1; PRAGMA user_version = 7
DROP TABLE t; SELECT 1
WITH d AS (SELECT 1) DELETE FROM t
WITH d AS (SELECT 1) INSERT INTO t SELECT 9, 'x'
WITH d AS (SELECT 1) UPDATE t SET name = 'x'
WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d
SELECT * FROM (DELETE FROM t RETURNING *)
SELECT * FROM (INSERT INTO t VALUES (9, 'x') RETURNING *)
SELECT * INTO u FROM t
SELECT * FROM t FOR UPDATE
.dump
.shell rm -rf /
.load /tmp/x.so
.open /etc/passwd
COPY t TO '/tmp/x'
LOAD DATA INFILE '/etc/passwd' INTO TABLE t
GRANT ALL ON t TO x
CALL x()
EXECUTE x
SET x = 1
TRUNCATE TABLE t
DO $$ BEGIN END $$
IMPORT t FROM 'x'
SELECT
FROM t
SELEC 1
SELECT 'unterminated
SELECT "unterminated
SELECT (
SELECT 1 +
SELECT nothing FROM t
SELECT * FROM nothing
SELECT * FROM "no such".t
SELECT nothing()
SELECT * FROM temp.t
SELECT * FROM other.t
"#;

/// Statements that read, as far as they can be.
const FINE: &str = r#"
SELECT 1
SELECT * FROM t
SELECT t.* FROM t AS t
SELECT id, upper(name) FROM t WHERE id > 0 ORDER BY name LIMIT 2 OFFSET 1
VALUES (1, 2), (3, 4)
WITH x AS (SELECT id FROM t) SELECT * FROM x
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT sum(i) FROM n
SELECT * FROM v
SELECT count(*), group_concat(name, ';') FROM t GROUP BY id % 2 HAVING count(*) > 0
SELECT name FROM t UNION SELECT 'insert into t' ORDER BY 1
SELECT * FROM t WHERE name LIKE 'a%' ESCAPE '\'
SELECT * FROM t WHERE name GLOB 'a*'
SELECT * FROM t WHERE name IN ('drop table t', 'x')
SELECT * FROM t a JOIN t b ON a.id = b.id LEFT JOIN t c USING (id)
SELECT id, row_number() OVER (ORDER BY id) FROM t
SELECT json_extract('{"a": [1, 2]}', '$.a[1]')
SELECT value FROM json_each('[1, 2, 3]')
SELECT date('2024-01-01', '+1 day'), strftime('%s', '2024-01-01')
SELECT CASE WHEN id = 1 THEN 'one' ELSE 'many' END FROM t
SELECT (SELECT max(id) FROM t), EXISTS (SELECT 1 FROM t)
SELECT x'00ff', 'it''s', "id" FROM t
SELECT typeof(id), quote(name), hex(name), length(name) FROM t
SELECT * FROM sqlite_schema
SELECT name FROM sqlite_master WHERE type = 'table'
SELECT random() IS NOT NULL, abs(-1), coalesce(NULL, 1)
SELECT sqlite_version()
SELECT changes(), total_changes(), last_insert_rowid()
SELECT zeroblob(10), randomblob(2) IS NOT NULL
SELECT CAST('12' AS INTEGER), 1 + 2.5
SELECT [id] FROM [t]
SELECT `id` FROM `t`
SELECT 'a' || 'b' COLLATE NOCASE
SELECT word FROM f WHERE f MATCH 'hello'
SELECT * FROM t; -- the end
SELECT /* DROP TABLE t; */ 1
SELECT 1 -- ; DROP TABLE t
SELECT '; DROP TABLE t; --'
SELECT 1;;
SELECT DISTINCT name FROM t WHERE id BETWEEN 1 AND 2
SELECT * FROM main.t
SELECT rowid, * FROM t
SELECT sum(id) FILTER (WHERE id > 1) FROM t
SELECT iif(id = 1, 'a', 'b') FROM t
SELECT * FROM t WHERE (id, name) = (1, 'a')
SELECT max(id) FROM t WHERE name IS NOT NULL
SELECT * FROM t NATURAL JOIN t AS u
SELECT printf('%d-%s', id, name) FROM t
SELECT like('a%', name), instr(name, 'a'), replace(name, 'a', 'b') FROM t
SELECT * FROM t EXCEPT SELECT * FROM t WHERE id = 1
SELECT nullif(1, 1), ifnull(NULL, 2), min(1, 2), round(1.5)
"#;

const SCHEMA: &str = "
    CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL);
    CREATE VIEW v AS SELECT id FROM t;
    CREATE INDEX i ON t (name);
    CREATE VIRTUAL TABLE f USING fts5(word);
    INSERT INTO f VALUES ('hello');
    CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT INTO t VALUES (99, 'gone'); END";

#[tokio::test]
async fn what_is_not_refused_changes_nothing() {
    let place = Place::new(SCHEMA);
    let source = place.source().await;
    let before = place.dump();
    let mut count = 0;
    for text in REFUSED.lines().filter(|line| !line.is_empty()) {
        let error = failure(&source, &query(text, vec![])).await;
        assert!(error.kind() != weir_core::Kind::Internal, "{text}: {error}");
        assert_eq!(place.dump(), before, "{text}");
        count += 1;
    }
    for text in FINE.lines().filter(|line| !line.is_empty()) {
        // What the parser does not follow is refused, which is no harm.
        if let Err(error) = rows(&source, &query(text, vec![])).await {
            assert_eq!(
                error.stable_code(),
                "query_not_understood",
                "{text}: {error}"
            );
        }
        assert_eq!(place.dump(), before, "{text}");
        count += 1;
    }
    assert!(count >= 200, "only {count} statements");
    let beside: Vec<_> = std::fs::read_dir(place.home.path()).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

/// What the parser would let through, SQLite's own authorizer does not: views hold
/// what nobody parses.
#[tokio::test]
async fn hostile_views_do_nothing() {
    for body in [
        "load_extension('/tmp/x.so')",
        "fts3_tokenizer('x', x'0000000000000000')",
        "writefile('/tmp/weir-was-here', 'x')",
        "edit('x')",
        "(SELECT group_concat(file) FROM pragma_database_list)",
        "(SELECT count(*) FROM pragma_journal_mode('WAL'))",
        "zeroblob(2000000000)",
    ] {
        let place = Place::new("CREATE TABLE t (id INTEGER)");
        let conn = place.conn();
        // Made as a stranger would: the schema is written directly.
        conn.execute_batch(&format!(
            "PRAGMA writable_schema = ON;
             INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql)
             VALUES ('view', 'v', 'v', 0, 'CREATE VIEW v AS SELECT {} AS x')",
            body.replace('\'', "''")
        ))
        .unwrap();
        drop(conn);
        let source = place.source().await;
        let error = failure(&source, &stream("v")).await;
        assert!(error.kind() != weir_core::Kind::Internal, "{body}: {error}");
        assert!(!std::path::Path::new("/tmp/weir-was-here").exists());
        assert_eq!(rows(&source, &stream("t")).await.unwrap().num_rows(), 0);
    }
}
