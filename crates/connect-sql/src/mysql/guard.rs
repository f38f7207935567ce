//! Which statements only read, as MySQL and MariaDB understand them.

use sqlparser::dialect::MySqlDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};
use weir_core::{Error, Result};

use crate::shared::guard::Guard;

static GUARD: Guard = Guard {
    dialect: &MySqlDialect {},
    commands: &[
        "HANDLER",
        "DO",
        "LOAD",
        "XA",
        "PURGE",
        "CHANGE",
        "BINLOG",
        "SHUTDOWN",
        "RESTART",
        "RESET",
        "INSTALL",
        "UNINSTALL",
        "CLONE",
        "SIGNAL",
        "RESIGNAL",
        "HELP",
        "CHECK",
        "REPAIR",
        "CHECKSUM",
        "BACKUP",
        "IMPORT",
        "STOP",
        "SLAVE",
        "REPLICA",
        "GET",
        "FLUSH",
        "RENAME",
        "KILL",
        "OPTIMIZE",
        "CACHE",
        "LOCK",
        "UNLOCK",
        "REPLACE",
        "USE",
        "CALL",
        "DELIMITER",
    ],
    denied: include_str!("denied_functions.txt"),
    odd,
    instead: "use dry_run for the plan's estimate, and SELECT @@name for a setting",
};

/// Beginnings of comments that are none: what they hold runs, on some versions, or
/// changes settings.
const HINTS: [&str; 3] = ["/*!", "/*M!", "/*+"];

/// Checks that `text` is exactly one statement that only reads, and gives it
/// without the semicolons and comments after it.
pub fn check(text: &str) -> Result<&str> {
    // The parser reads them as the text they hold, which a server may skip.
    let upper = text.to_ascii_uppercase();
    if let Some(hint) = HINTS.iter().find(|hint| upper.contains(**hint)) {
        let message =
            format!("the query is not understood: `{hint}` is a comment that some servers run");
        return Err(Error::invalid("/query", message)
            .code("query_not_understood")
            .hint("leave it out; in a text write it in two parts, with CONCAT"));
    }
    GUARD.check(text)
}

fn odd(token: &Token, _: &[TokenWithSpan]) -> Option<&'static str> {
    match token {
        Token::Assignment => Some("variables are not assigned to"),
        Token::Whitespace(Whitespace::SingleLineComment { comment, prefix })
            if prefix == "--"
                && !comment.is_empty()
                && !comment.starts_with(|c: char| c.is_ascii_whitespace()) =>
        {
            Some("a comment begins with `--` and a blank")
        }
        Token::Whitespace(Whitespace::MultiLineComment(comment)) if comment.contains("/*") => {
            Some("comments do not nest")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_only_reads_is_taken() {
        for text in [
            "select 1",
            "SELECT a, `b c`, \"text\", 'it''s', 'it\\'s' FROM d.t WHERE x > ? -- end\n;",
            "with a as (select 1 as x) select * from a union all select 2",
            "select 5--1 # comment",
            "select @@version, json_extract(a, '$.b') from t limit 5 offset 2",
            "select count(*) from t use index (i) where a div 2 = 1 and b regexp '^x'",
            "(select 1) union (select 2) order by 1",
            // One text, as the sessions have it.
            "select '\\'; drop table t; -- '",
        ] {
            assert!(check(text).is_ok(), "{text}: {:?}", check(text));
        }
        assert_eq!(check("select 1 ; -- x").unwrap(), "select 1");
    }

    #[test]
    fn what_may_do_more_is_refused() {
        for text in [
            "select 1 /*! into outfile '/tmp/x' */",
            "select /*!50000 sleep(5) */ 1",
            "select /*M! sleep(5) */ 1",
            "select /*m!100000 sleep(5) */ 1",
            "select /*+ SET_VAR(max_execution_time=0) */ 1",
            "select sleep(5)",
            "select `sleep`(5)",
            "select SLEEP /* x */ (5)",
            "select benchmark(1, 1)",
            "select load_file('/etc/passwd')",
            "select get_lock('a', 1)",
            "select release_lock('a')",
            "select nextval(s)",
            "select setval(s, 1)",
            "select @a := 1",
            "select 1 into @a",
            "select * from t into outfile '/tmp/x'",
            "select * into dumpfile '/tmp/x' from t",
            "select * from t for update",
            "select * from t for share",
            "select * from t lock in share mode",
            "select * from t procedure analyse()",
            "select 1; drop table t",
            "drop table t",
            "do sleep(1)",
            "handler t open",
            "load data infile 'x' into table t",
            "set @a = 1",
            "call p()",
            "use mysql",
            "create temporary table x (a int)",
            "insert into t values (1)",
            "replace into t values (1)",
            "flush tables",
            "kill 1",
            "lock tables t write",
            "show tables",
            "explain select 1",
            "",
            "select 1 /* /* */",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
