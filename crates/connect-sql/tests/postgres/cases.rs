//! The values of every type, and how each is compared.

/// How a column is compared with the server's text.
#[derive(Clone, Copy)]
pub enum Form {
    /// As it is shown.
    Text,
    Float4,
    Float8,
    /// Bytes, as hexadecimal digits.
    Hex,
    /// Days since 1970.
    Days,
    /// Microseconds since 1970, or midnight.
    Micros,
    /// Months, days, microseconds.
    Interval,
}

/// Type in the source, our name for it, how it is compared, and values.
pub type Case = (&'static str, &'static str, Form, &'static [&'static str]);

/// One column each.
pub const CASES: [Case; 48] = [
    ("smallint", "int16", Form::Text, &["-32768", "32767", "0"]),
    (
        "integer",
        "int32",
        Form::Text,
        &["-2147483648", "2147483647"],
    ),
    (
        "bigint",
        "int64",
        Form::Text,
        &["-9223372036854775808", "9223372036854775807"],
    ),
    ("oid", "int64", Form::Text, &["0", "4294967295"]),
    (
        "real",
        "float32",
        Form::Float4,
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'-0'",
            "3.4028235e38",
            "1e-45",
            "0.1",
        ],
    ),
    (
        "double precision",
        "float64",
        Form::Float8,
        &[
            "'NaN'",
            "'-Infinity'",
            "'-0'",
            "1.7976931348623157e308",
            "5e-324",
            "0.1",
        ],
    ),
    ("boolean", "bool", Form::Text, &["true", "false"]),
    (
        "numeric(15,2)",
        "decimal(15,2)",
        Form::Text,
        &["-9999999999999.99", "0", "0.01", "100000", "1234.5"],
    ),
    (
        "numeric(38,0)",
        "decimal(38,0)",
        Form::Text,
        &[
            "99999999999999999999999999999999999999",
            "-10000000000000000",
        ],
    ),
    (
        "numeric(38,38)",
        "decimal(38,38)",
        Form::Text,
        &[
            "0.99999999999999999999999999999999999999",
            "-0.00000000000000000000000000000000000001",
        ],
    ),
    (
        "numeric(5,0)",
        "decimal(5,0)",
        Form::Text,
        &["10000", "-99999", "1"],
    ),
    (
        "numeric(39,5)",
        "decimal(39,5)",
        Form::Text,
        &["-9999999999999999999999999999999999.99999", "0.00001"],
    ),
    (
        "numeric(76,30)",
        "decimal(76,30)",
        Form::Text,
        &[
            "9999999999999999999999999999999999999999999999.999999999999999999999999999999",
            "1e-30",
        ],
    ),
    (
        "numeric(5,-2)",
        "decimal(7,0)",
        Form::Text,
        &["9999900", "-100"],
    ),
    (
        "numeric(3,5)",
        "decimal(5,5)",
        Form::Text,
        &["0.00999", "-0.00001"],
    ),
    (
        "numeric",
        "string",
        Form::Text,
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "1e100",
            "1.000",
            "-0.000000000000000000000000000000001",
        ],
    ),
    ("numeric(100,50)", "string", Form::Text, &["1.5", "'NaN'"]),
    (
        "text",
        "string",
        Form::Text,
        &[
            "''",
            "'ä€😀'",
            "E'tab\\t nl\\n \"q\" \\\\'",
            "repeat('x', 70000)",
        ],
    ),
    ("varchar(5)", "string", Form::Text, &["'abc  '", "''"]),
    ("\"char\"", "string", Form::Text, &["'a'", "'é'"]),
    ("name", "string", Form::Text, &["'some_name'"]),
    ("bytea", "binary", Form::Hex, &["''", "'\\x00ff10'"]),
    (
        "date",
        "date",
        Form::Days,
        &[
            "'4713-01-01 BC'",
            "'5874897-12-31'",
            "'1969-12-31'",
            "'2000-01-01'",
        ],
    ),
    (
        "time",
        "time",
        Form::Micros,
        &["'00:00:00'", "'23:59:59.999999'"],
    ),
    ("time(0)", "time", Form::Micros, &["'12:34:56.7'"]),
    (
        "timetz",
        "string",
        Form::Text,
        &["'12:34:56.789+05:30'", "'24:00:00-15:59'"],
    ),
    (
        "timestamp",
        "timestamp(us)",
        Form::Micros,
        &[
            "'4713-01-01 00:00:00 BC'",
            "'294246-12-31 23:59:59.999999'",
            "'1999-12-31 23:59:59.999999'",
        ],
    ),
    (
        "timestamptz",
        "timestamp(us, UTC)",
        Form::Micros,
        &[
            "'4713-01-02 00:00:00+00 BC'",
            "'2024-02-29 12:00:00.000001+13'",
        ],
    ),
    (
        "interval",
        "interval",
        Form::Interval,
        &[
            "'178000000 years'",
            "'-1 mon -2 days -03:04:05.000006'",
            "'1 day 2562000 hours'",
        ],
    ),
    (
        "uuid",
        "string",
        Form::Text,
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
        ],
    ),
    (
        "json",
        "json",
        Form::Text,
        &["'{\"b\": 1,  \"a\": [null]}'", "'null'"],
    ),
    (
        "jsonb",
        "json",
        Form::Text,
        &["'{\"b\": 1, \"a\": [null, 1.50]}'", "'\"x\"'"],
    ),
    (
        "inet",
        "string",
        Form::Text,
        &[
            "'10.0.0.1/24'",
            "'::1/64'",
            "'2001:db8::ff/1'",
            "'::ffff:1.2.3.4/120'",
            "'::1.2.3.4/100'",
        ],
    ),
    (
        "cidr",
        "string",
        Form::Text,
        &["'10.0.0.0/8'", "'10.1.2.3/32'", "'2001:db8::/32'", "'::/0'"],
    ),
    ("macaddr", "string", Form::Text, &["'08:00:2b:01:02:03'"]),
    (
        "money",
        "string",
        Form::Text,
        &["'-92233720368547758.08'", "12.34"],
    ),
    ("bit(3)", "string", Form::Text, &["B'101'"]),
    ("bit varying", "string", Form::Text, &["B''", "B'1'"]),
    ("point", "string", Form::Text, &["'(1.5,-2)'"]),
    ("box", "string", Form::Text, &["'((0,0),(1,1))'"]),
    ("tsvector", "string", Form::Text, &["'a fat cat'"]),
    ("xml", "string", Form::Text, &["'<a>b</a>'"]),
    ("int4range", "string", Form::Text, &["'[1,5)'", "'empty'"]),
    ("nummultirange", "string", Form::Text, &["'{[1.5,2],[7,)}'"]),
    ("pg_lsn", "string", Form::Text, &["'16/B374D848'"]),
    ("mood", "string", Form::Text, &["'happy'", "'so \"so\"'"]),
    (
        "pair",
        "string",
        Form::Text,
        &["ROW(1, 'a \"b\"')::pair", "ROW(NULL, NULL)::pair"],
    ),
    ("price", "decimal(9,3)", Form::Text, &["1.5", "999999.999"]),
];

/// The types that the cases use.
pub const TYPES: &str = "
create type mood as enum ('happy', 'so \"so\"');
create type pair as (a int, b text);
create domain price as numeric(9,3) check (value >= 0);
create domain cheap as price;
create domain tags as text[];
";
