use proptest::prelude::*;
use serde_json::json;

use super::*;

fn text(text: &str) -> Argument {
    Argument::Text(text.to_owned())
}

#[test]
fn every_form_is_understood() {
    let parse = |text: &str| Reference::parse(text).unwrap();
    assert_eq!(
        parse("${PGHOST:-localhost}"),
        Reference::Environment {
            name: "PGHOST".into(),
            default: Some("localhost".into())
        }
    );
    assert_eq!(
        parse("${_a1}"),
        Reference::Environment {
            name: "_a1".into(),
            default: None
        }
    );
    assert_eq!(
        parse("${A:-}"),
        Reference::Environment {
            name: "A".into(),
            default: Some(String::new())
        }
    );
    assert_eq!(
        parse("{{ aws_secret('prod/pg') }}"),
        Reference::Call(Call {
            function: "aws_secret",
            arguments: vec![text("prod/pg")]
        })
    );
    assert_eq!(
        parse(r#"{{json_value( aws_secret_var("x") , 'password')}}"#),
        Reference::Call(Call {
            function: "json_value",
            arguments: vec![
                Argument::Call(Call {
                    function: "aws_secret_var",
                    arguments: vec![text("x")]
                }),
                text("password")
            ]
        })
    );
    assert_eq!(
        parse("file:/run/secrets/pg"),
        Reference::File("/run/secrets/pg".into())
    );
    assert_eq!(
        parse("@postgres.main"),
        Reference::Source {
            kind: "postgres".into(),
            name: "main".into()
        }
    );
    assert_eq!(
        parse("credential:main#tls.key"),
        Reference::Credential {
            name: "main".into(),
            field: "tls.key".into()
        }
    );
}

#[test]
fn attacks_and_slips_are_refused() {
    for given in [
        "",
        "plain",
        "$HOME",
        "${}",
        "${1A}",
        "${A B}",
        "${A:-${B}}",
        "${A}${B}",
        "{{ }}",
        "{{ ''*10**9 }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ env_var('A').x }}",
        "{{ env_var('A') }}{{ env_var('B') }}",
        "{{ env_var('A') + env_var('B') }}",
        "{{ env_var }}",
        "{{ env_var() }}",
        "{{ env_var('A', 'b', 'c') }}",
        "{{ env_var('A' }}",
        "{{ env_var('A\\'') }}",
        "{{ env_var(A) }}",
        "{{ env_var(1) }}",
        "{% include 'x' %}",
        "{{ json_value(json_value(json_value(json_value(env_var('a'), 'b'), 'c'), 'd'), 'e') }}",
        "file:",
        "@postgres",
        "@Postgres.x",
        "credential:main",
        "credential:#x",
        "credential:main#",
        "credential:main#a..b",
        "${A:-x\ny}",
    ] {
        let error = Reference::parse(given).unwrap_err();
        assert_eq!(error.stable_code(), "invalid_reference", "{given}");
        assert!(error.hint_text().is_some(), "{given}");
    }
    let error = Reference::parse("{{ aws_secert('x') }}").unwrap_err();
    assert!(
        error.message().contains("did you mean `aws_secret`?"),
        "{error}"
    );
    assert!(Reference::parse(&format!("file:{}", "x".repeat(2000))).is_err());
}

#[test]
fn what_reaches_into_the_machine_is_for_admins() {
    for (text, admin) in [
        ("${A}", true),
        ("{{ env_var('A') }}", true),
        ("file:x", true),
        ("@a.b", false),
        ("credential:a#b", false),
    ] {
        assert_eq!(
            Reference::parse(text).unwrap().needs_admin(),
            admin,
            "{text}"
        );
    }
}

#[test]
fn references_are_found_where_they_stand() {
    let config = json!({"host": {"$from": "${H}"}, "port": 1, "user": "${literal}",
        "tls": {"a/b": [{"$from": "file:x"}]}});
    let found = collect(&config).unwrap();
    let places: Vec<&str> = found.iter().map(|placed| placed.pointer.as_str()).collect();
    assert_eq!(places, ["/host", "/tls/a~1b/0"]);
    for (wrong, pointer) in [
        (json!({"a": {"$from": 1}}), "/a"),
        (json!({"a": {"$from": "${X}", "x": 1}}), "/a"),
        (json!({"a": [{"$from": "nonsense"}]}), "/a/0"),
    ] {
        assert_eq!(collect(&wrong).unwrap_err().fields()[0].pointer, pointer);
    }
    let mut deep = json!(1);
    for _ in 0..NESTING + 2 {
        deep = json!([deep]);
    }
    assert!(collect(&deep).is_err());
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        let _ = Reference::parse(&text);
        let _ = Reference::parse(&format!("{{{{{text}}}}}"));
        let _ = Reference::parse(&format!("${{{text}}}"));
    }

    #[test]
    fn arguments_come_through_whole(argument in "[^'\"\\\\\\pC]{0,30}") {
        let parsed = Reference::parse(&format!("{{{{ aws_secret('{argument}') }}}}")).unwrap();
        let wanted = Call { function: "aws_secret", arguments: vec![text(&argument)] };
        prop_assert_eq!(parsed, Reference::Call(wanted));
    }

    #[test]
    fn defaults_come_through_whole(default in "[^$\\{\\}\\pC]{0,30}") {
        let parsed = Reference::parse(&format!("${{A:-{default}}}")).unwrap();
        let wanted = Reference::Environment { name: "A".into(), default: Some(default) };
        prop_assert_eq!(parsed, wanted);
    }
}
