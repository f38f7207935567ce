//! `docs/BROKEN-ANSWERS.md`: its tables are what the clients reported, and a
//! report that is not in it fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use weir_tests::{project, setting};

use super::causes::CAUSES;
use super::matrix::Case;

const DOCUMENT: &str = "docs/BROKEN-ANSWERS.md";

/// The sign of a reader that was content with fewer rows.
const NOTHING: &str = "**nothing**";

/// Client, HTTP, format and coding, and all that was reported there. Which of
/// its errors a client meets first is a matter of moments, so there may be several.
pub type Table = BTreeMap<[String; 4], BTreeSet<String>>;

/// What was reported, over all causes.
pub fn of(found: &[(Case, Option<String>)]) -> Table {
    let mut table = Table::new();
    let broken = found.iter().filter(|(case, _)| case.cause.code.is_some());
    for (case, said) in broken {
        let key = [case.client, case.http, case.format, case.coding].map(str::to_owned);
        let said = said.as_deref().unwrap_or(NOTHING);
        // Which code a last line says depends on the cause.
        let said = said.split(',').next().unwrap_or_default().to_owned();
        table.entry(key).or_default().insert(said);
    }
    table
}

fn parsed(text: &str) -> Table {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = cells.filter(|cells| cells.len() == 7 && !cells[1].is_empty());
    rows.skip(1)
        .map(|cells| {
            let key = [1, 2, 3, 4].map(|index| cells[index].to_owned());
            let said = cells[5].split(" or ").map(str::to_owned).collect();
            (key, said)
        })
        .collect()
}

fn printed(table: &Table) -> String {
    let mut text =
        String::from("| client | HTTP | format | coding | reports |\n|---|---|---|---|---|\n");
    for (key, said) in table {
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        writeln!(text, "| {} | {} |", key.join(" | "), said.join(" or ")).unwrap();
    }
    text
}

fn causes() -> String {
    let mut text =
        String::from("| cause | how | `error.code` of the run | asked |\n|---|---|---|---|\n");
    for cause in &CAUSES {
        let asked = if cause.by_all {
            "every client"
        } else {
            "a few clients"
        };
        let code = cause
            .code
            .map_or("–".to_owned(), |code| format!("`{code}`"));
        let (name, how) = (cause.name, cause.how);
        writeln!(text, "| {name} | {how} | {code} | {asked} |").unwrap();
    }
    text
}

/// The document with these tables between its marks.
fn with_tables(text: &str, table: &Table) -> String {
    let mut text = text.to_owned();
    for (name, rows) in [("causes", causes()), ("reports", printed(table))] {
        let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end {name} -->"));
        let from = text.find(&start).expect(&start) + start.len();
        let to = text.find(&end).expect(&end);
        text.replace_range(from..to, &rows);
    }
    text
}

/// Holds what was found against the document, or writes it there.
pub fn check(found: &Table) {
    let path = project::root().join(DOCUMENT);
    let text = std::fs::read_to_string(&path).unwrap();
    let known = parsed(&text);
    if setting("WEIR_TEST_WRITE").is_some() {
        let mut all = found.clone();
        for (key, said) in &mut all {
            said.extend(known.get(key).into_iter().flatten().cloned());
        }
        std::fs::write(&path, with_tables(&text, &all)).unwrap();
        return;
    }
    let advice = format!(
        "{DOCUMENT} says something else: run this test with WEIR_TEST_WRITE=1 and look at the change"
    );
    for (key, said) in found {
        // Which of its errors comes first may differ from run to run, not which it has.
        let of_client = known.iter().filter(|(other, _)| other[0] == key[0]);
        let of_client: BTreeSet<&String> = of_client.flat_map(|(_, said)| said).collect();
        for said in said {
            assert!(of_client.contains(said), "{key:?} {said}\n{advice}");
            let is_blind = |said: &str| said == NOTHING;
            let documented = known.get(key).into_iter().flatten();
            let is_same = documented
                .into_iter()
                .any(|one| is_blind(one) == is_blind(said));
            assert!(is_same, "{key:?} {said}\n{advice}");
        }
    }
    assert!(known.keys().eq(found.keys()), "{advice}");
    assert_eq!(with_tables(&text, &known), text, "{advice}");
}
