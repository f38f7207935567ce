-- Every type that PostgreSQL has out of the box, and the ways to make more.
-- Rows: 1 ordinary, 2 nulls, 3 smallest, 4 largest, 5 what has no place elsewhere.
create type mood as enum ('sad', 'it''s "ok"', 'happy');
create type pair as (a int, b text);
create domain positive as integer check (value > 0);
create domain price as numeric(9,3);
create domain tags as text[];

create table everything (
    id int primary key,
    c_smallint smallint, c_integer integer, c_bigint bigint, c_oid oid,
    c_real real, c_double double precision,
    c_numeric numeric, c_numeric_2 numeric(10,2), c_numeric_38 numeric(38,10), c_numeric_76 numeric(76,20),
    c_numeric_big numeric(200,100), c_numeric_minus numeric(5,-2), c_numeric_small numeric(3,5), c_money money,
    c_bool bool, c_text text, c_varchar varchar(10), c_char char(5), c_letter "char", c_name name, c_bytea bytea,
    c_date date, c_time time, c_timetz timetz, c_timestamp timestamp, c_timestamptz timestamptz, c_interval interval,
    c_time_0 time(0), c_timestamp_3 timestamp(3),
    c_uuid uuid, c_json json, c_jsonb jsonb, c_xml xml,
    c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8, c_bit bit(4), c_varbit varbit,
    c_point point, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon, c_circle circle,
    c_tsvector tsvector, c_tsquery tsquery, c_lsn pg_lsn, c_xid8 xid8, c_regclass regclass,
    c_int4range int4range, c_numrange numrange, c_tstzrange tstzrange, c_daterange daterange, c_multirange int4multirange,
    c_mood mood, c_pair pair, c_positive positive, c_price price, c_tags tags,
    a_integer int[], a_bigint bigint[], a_bool bool[], a_text text[], a_numeric numeric(6,2)[], a_free numeric[],
    a_double float8[], a_bytea bytea[], a_date date[], a_timestamptz timestamptz[], a_interval interval[], a_uuid uuid[],
    a_jsonb jsonb[], a_mood mood[], a_pair pair[], a_positive positive[], a_inet inet[], a_point point[], a_range int4range[],
    a_matrix int[][], a_cube text[][][]
);
create table nothing (like everything);

insert into everything values (1,
    1, -2, 3, 4, 1.5, -2.25,
    123.456, 12.34, 1234567890.0123456789, 12345678901234567890.12345678901234567890,
    1e99, 12300, 0.00123, '$1,234.56',
    true, E'läß\t"text"\n\\ 表 🦀', 'varchar', 'ab', 'x', 'a name', '\x00ff10',
    '2026-02-28', '12:34:56.789012', '12:34:56.7+05:30', '2026-02-28 12:34:56.789012', '2026-02-28 12:34:56.789012+05:30',
    '1 year 2 months 3 days 04:05:06.789', '12:34:56', '2026-02-28 12:34:56.789',
    '0190b6e2-8f3f-7b3c-9d51-0a1b2c3d4e5f', '{"b": [1, 2.50, null],  "a": "x"}', '{"b": [1, 2.50, null], "a": "x"}', '<a>1</a>',
    '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'1010', B'10101',
    '(1,2)', '{1,2,3}', '((1,2),(3,4))', '((3,4),(1,2))', '((1,2),(3,4))', '((1,2),(3,4),(5,6))', '<(1,2),3>',
    'fat cat:3', 'fat & !cat', '16/B374D848', '42', 'pg_class',
    '[1,10)', '(1.5,2.5]', '["2026-01-01 00:00+00",)', '[2026-01-01,2026-02-01)', '{[1,3),[5,7)}',
    'it''s "ok"', '(1,"a ""b"", c")', 7, 1.5, '{a,"b c",NULL,""}',
    '{1,NULL,-3}', '{9007199254740993}', '{t,f,NULL}', '{"a,b","c\"d",NULL,"NULL",""}', '{1.50,NULL}', '{1.50,NaN,NULL}',
    '{1.5,NaN,Infinity,NULL}', '{"\\x00ff",NULL}', '{2026-01-01,NULL,infinity}', '{"2026-01-01 00:00:00+02",NULL}', '{"1 mon 2 days",NULL}',
    '{0190b6e2-8f3f-7b3c-9d51-0a1b2c3d4e5f,NULL}', array['{"a": 1}'::jsonb, null, '[1, "x"]'::jsonb], '{sad,happy,NULL}', array[(1,'x')::pair, null],
    '{1,NULL,2}', '{10.0.0.1,::1/64,NULL}', '{"(1,2)",NULL}', '{"[1,3)",NULL,empty}',
    '{{1,2,3},{4,NULL,6}}', '{{{a,b},{c,NULL}},{{"",x},{y,z}}}');

insert into everything (id) values (2);

insert into everything (id, c_smallint, c_integer, c_bigint, c_oid, c_real, c_double,
    c_numeric, c_numeric_2, c_numeric_38, c_numeric_76, c_numeric_big, c_numeric_minus, c_numeric_small, c_money,
    c_bool, c_text, c_varchar, c_char, c_name, c_bytea,
    c_date, c_time, c_timetz, c_timestamp, c_timestamptz, c_interval,
    c_uuid, c_json, c_jsonb, c_inet, c_cidr, c_int4range, c_positive, c_price, c_tags,
    a_integer, a_text, a_numeric, a_date, a_matrix, a_cube)
values (3, -32768, -2147483648, -9223372036854775808, 0, -3.4028235e38, -1.7976931348623157e308,
    -0.000000000000000000000000000001, -99999999.99, -9999999999999999999999999999.9999999999,
    -99999999999999999999999999999999999999999999999999999999.99999999999999999999, -1e99, -9999900, -0.00999, '-92233720368547758.08',
    false, '', '', '', '', '',
    '4714-11-24 BC', '00:00:00', '00:00:00+15:59:59', '4714-11-24 00:00:00 BC', '4714-11-24 00:00:00+00 BC',
    '-178000000 years -11 mons -2147483648 days -292 hours',
    '00000000-0000-0000-0000-000000000000', 'null', 'null', '::', '::/0', 'empty', 1, -999999.999, '{}',
    '{}', '{}', '{}', '{}', '{}', '{}'),
  (4, 32767, 2147483647, 9223372036854775807, 4294967295, 3.4028235e38, 1.7976931348623157e308,
    12345678901234567890123456789012345678901234567890.000000000000000000001, 99999999.99, 9999999999999999999999999999.9999999999,
    99999999999999999999999999999999999999999999999999999999.99999999999999999999, 1e-100, 9999900, 0.00999, '92233720368547758.07',
    true, repeat('長い text ', 20000), repeat('ü', 10), 'fiver', repeat('n', 63), decode(repeat('00ff', 20000), 'hex'),
    '5874897-12-31', '23:59:59.999999', '24:00:00-15:59:59', '294246-12-31 23:59:59.999999', '294246-12-31 23:59:59.999999+00',
    '178000000 years 11 mons 2147483647 days 2562047 hours 59 minutes 59.999999 seconds',
    'ffffffff-ffff-ffff-ffff-ffffffffffff', '{"n": 12345678901234567890.123456789}', '{"n": 12345678901234567890.123456789}',
    'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '255.255.255.255/32', '(,)', 2147483647, 999999.999, '{x}',
    array(select generate_series(1, 5000)), '{x}', '{9999.99}', '{4714-11-24 BC,5874897-12-31}', '{{1}}', '{{{x}}}');

insert into everything (id, c_real, c_double, c_numeric, c_numeric_2, c_numeric_76, c_date, c_time, c_timestamp, c_timestamptz,
    c_interval, c_inet, c_text, c_jsonb)
values (5, 'NaN', '-Infinity', 'Infinity', 'NaN', 'NaN', 'infinity', '24:00:00', '-infinity', '294276-12-31 23:59:59.999999+00',
    '9223372036 seconds 854775 microseconds', '::ffff:1.2.3.4', E'\x7f\u0001\u2028', '"\u00e9"'),
  (6, '1e-45', '5e-324', '-Infinity', 0, 0, '-infinity', '00:00:00.000001', 'infinity', '0001-01-01 00:00:00+00',
    '-2562047788 hours', '0.0.0.0', ' ', '[]'),
  (7, '-0', '-0', 0.00, -0.01, 1, '0001-12-31 BC', null, '1969-12-31 23:59:59.999999', '1970-01-01 00:00:00+00',
    '0', '1.2.3.4/0', 'x', '{}');
