use std::collections::HashMap;

use super::super::types;
use super::*;

fn column(name: &str, oid: u32, modifier: i32) -> SourceColumn {
    SourceColumn {
        name: name.into(),
        native: String::new(),
        nullable: true,
        key: None,
        deterministic: true,
        mapping: types::mapping(oid, modifier, 0, &HashMap::new()),
    }
}

fn compile(predicate: &Predicate) -> (Option<String>, usize) {
    let columns = [
        column("i", 23, -1),
        column("t", 25, -1),
        column("c", 1042, 7),
        column("d", 1700, (15 << 16 | 2) + 4),
        column("f", 701, -1),
        column("day", 1082, -1),
        column("at", 1184, -1),
        column("j", 3802, -1),
        column("time", 1083, -1),
    ];
    let refs: Vec<ColumnRef<'_>> = columns
        .iter()
        .map(|column| ColumnRef {
            sql: format!("t.{}", column.name),
            column,
        })
        .collect();
    let mut compiler = Compiler::new(&refs, true, true, 3);
    let sql = compiler.conjunct(predicate);
    (sql, compiler.into_params().len())
}

fn compare(column: &str, op: Comparison, value: Value) -> Predicate {
    Predicate::Compare {
        column: column.into(),
        op,
        right: Operand::Value(value),
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

#[test]
fn literals_are_bound_and_nulls_follow_the_rules() {
    let (sql, bound) = compile(&compare("i", Comparison::Ne, Value::Int(5)));
    assert_eq!(
        (sql.as_deref(), bound),
        (Some("(t.i IS DISTINCT FROM $3::int8)"), 1)
    );
    let (sql, _) = compile(&compare("t", Comparison::Lt, text("x")));
    assert_eq!(sql.as_deref(), Some("(t.t::text COLLATE \"C\" < $3::text)"));
    let (sql, _) = compile(&Predicate::Not(Box::new(compare(
        "t",
        Comparison::Eq,
        text("x"),
    ))));
    assert_eq!(sql.as_deref(), Some("(((t.t = $3::text)) IS NOT TRUE)"));
    let (sql, _) = compile(&compare("d", Comparison::Gt, Value::Number("1.50".into())));
    assert_eq!(
        sql.as_deref(),
        Some("(t.d > $3::numeric AND NOT (t.d = 'NaN'::numeric))")
    );
}

#[test]
fn what_might_differ_is_left_to_the_engine() {
    for predicate in [
        compare("i", Comparison::Eq, text("5")),
        compare("i", Comparison::Eq, Value::Number("5.5".into())),
        compare("t", Comparison::Eq, Value::Int(5)),
        compare("c", Comparison::Eq, text("ab")),
        compare("c", Comparison::Eq, text("ab ")),
        compare("c", Comparison::Lt, text("abc")),
        compare("d", Comparison::Eq, Value::Number("1.555".into())),
        compare("d", Comparison::Eq, Value::Number("1e2".into())),
        compare("f", Comparison::Eq, Value::Number("1e400".into())),
        compare("day", Comparison::Eq, text("2024-1-1")),
        compare("day", Comparison::Eq, text("2024-02-30")),
        compare("at", Comparison::Eq, text("2024-01-01T00:00:00.0000001Z")),
        compare("j", Comparison::Eq, text("{}")),
        compare("t", Comparison::Eq, text("a\0b")),
        compare("none", Comparison::Eq, text("a")),
        Predicate::Contains {
            column: "t".into(),
            pattern: "a.b".into(),
            negated: false,
        },
        Predicate::Contains {
            column: "j".into(),
            pattern: "a".into(),
            negated: false,
        },
        Predicate::IsBlank("t".into()),
        Predicate::IsNull("time".into()),
        Predicate::Or(vec![
            compare("i", Comparison::Eq, Value::Int(1)),
            compare("j", Comparison::Eq, text("")),
        ]),
    ] {
        assert_eq!(compile(&predicate), (None, 0), "{predicate:?}");
    }
}

#[test]
fn lists_are_bound_as_one_value() {
    let values = vec![text("a\"b"), text("c\\d")];
    let (sql, bound) = compile(&Predicate::In {
        column: "t".into(),
        values,
    });
    assert_eq!(
        (sql.as_deref(), bound),
        (Some("(t.t = ANY ($3::text[]))"), 1)
    );
    let (sql, bound) = compile(&Predicate::In {
        column: "t".into(),
        values: Vec::new(),
    });
    assert_eq!((sql.as_deref(), bound), (Some("false"), 0));
}
