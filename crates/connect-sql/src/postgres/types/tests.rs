use super::*;

fn builtin(oid: u32, modifier: i32) -> DataType {
    mapping(oid, modifier, 0, &HashMap::new()).data_type
}

const fn modifier(precision: i32, scale: i32) -> i32 {
    ((precision << 16) | (scale & 0x7ff)) + 4
}

#[test]
fn numerics_follow_their_precision() {
    assert_eq!(builtin(1700, modifier(15, 2)), DataType::Decimal128(15, 2));
    assert_eq!(builtin(1700, modifier(38, 0)), DataType::Decimal128(38, 0));
    assert_eq!(
        builtin(1700, modifier(39, 10)),
        DataType::Decimal256(39, 10)
    );
    assert_eq!(
        builtin(1700, modifier(76, 76)),
        DataType::Decimal256(76, 76)
    );
    assert_eq!(builtin(1700, modifier(77, 0)), DataType::Utf8);
    assert_eq!(builtin(1700, modifier(5, -2)), DataType::Decimal128(7, 0));
    assert_eq!(builtin(1700, modifier(3, 5)), DataType::Decimal128(5, 5));
    assert_eq!(builtin(1700, modifier(1000, 0)), DataType::Utf8);
    assert_eq!(builtin(1700, -1), DataType::Utf8);
}

#[test]
fn domains_enums_and_arrays_of_them_are_followed() {
    let domain = TypeFacts {
        kind: b'd',
        base: 1700,
        base_modifier: modifier(9, 3),
        dimensions: 0,
        item: 0,
    };
    let array = TypeFacts {
        kind: b'b',
        base: 0,
        base_modifier: -1,
        dimensions: 0,
        item: 20_000,
    };
    let label = TypeFacts {
        kind: b'e',
        base: 0,
        base_modifier: -1,
        dimensions: 0,
        item: 0,
    };
    let row = TypeFacts {
        kind: b'c',
        ..label.clone()
    };
    let facts = HashMap::from([
        (20_000, domain),
        (20_001, array),
        (20_002, label),
        (20_003, row),
    ]);
    assert_eq!(
        mapping(20_000, -1, 0, &facts).data_type,
        DataType::Decimal128(9, 3)
    );
    let list = mapping(20_001, -1, 0, &facts).data_type;
    assert_eq!(weir_core::types::type_name(&list), "list<decimal(9,3)>");
    assert_eq!(mapping(20_002, -1, 0, &facts).cast, None);
    assert_eq!(mapping(20_003, -1, 0, &facts).cast, Some("text"));
    assert_eq!(unknown_part(20_001, &facts), None);
    assert_eq!(unknown_part(20_004, &facts), Some(20_004));
}

#[test]
fn dimensions_nest_lists() {
    let list = mapping(1007, -1, 2, &HashMap::new());
    assert_eq!(
        weir_core::types::type_name(&list.data_type),
        "list<list<int32>>"
    );
    list.decoder(true);
    // point[]
    let facts = HashMap::from([
        (
            1017,
            TypeFacts {
                kind: b'b',
                base: 0,
                base_modifier: -1,
                dimensions: 0,
                item: 600,
            },
        ),
        (
            600,
            TypeFacts {
                kind: b'b',
                base: 0,
                base_modifier: -1,
                dimensions: 0,
                item: 0,
            },
        ),
    ]);
    assert_eq!(mapping(1017, -1, 1, &facts).cast, Some("text[]"));
}

#[test]
fn the_ends_of_time_have_no_place() {
    assert_eq!(date(i32::MAX.to_be_bytes()), None);
    assert_eq!(date(0_i32.to_be_bytes()), Some(EPOCH_DAYS));
    assert_eq!(timestamp(i64::MIN.to_be_bytes()), None);
    assert_eq!(timestamp((i64::MAX - 1).to_be_bytes()), None);
    assert_eq!(time(DAY_MICROS.to_be_bytes()), None);
    assert_eq!(time(0_i64.to_be_bytes()), Some(0));
}
