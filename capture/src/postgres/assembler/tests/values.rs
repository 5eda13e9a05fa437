//! Every common type from its text to its JSON.

use super::*;

/// Type oid, text, JSON of the value.
const GOLDEN: &[(u32, &str, &str)] = &[
    (16, "t", "true"),
    (16, "f", "false"),
    (21, "-32768", "-32768"),
    (23, "2147483647", "2147483647"),
    (20, "-9223372036854775808", "-9223372036854775808"),
    (26, "4294967295", "4294967295"),
    (700, "1.5", "1.5"),
    (701, "1e+20", "1e+20"),
    (701, "-0", "-0"),
    (701, "NaN", r#""NaN""#),
    (701, "-Infinity", r#""-Infinity""#),
    (1700, "1.5000", r#""1.5000""#),
    (
        1700,
        "-12345678901234567890.5",
        r#""-12345678901234567890.5""#,
    ),
    (1700, "NaN", r#""NaN""#),
    (1082, "2024-02-29", r#""2024-02-29""#),
    (1082, "infinity", r#""infinity""#),
    (1082, "0044-03-15 BC", r#""0044-03-15 BC""#),
    (1083, "12:34:56.789012", r#""12:34:56.789012""#),
    (1266, "12:34:56+05:30", r#""12:34:56+05:30""#),
    (1114, "2024-01-02 03:04:05", r#""2024-01-02 03:04:05""#),
    (1114, "-infinity", r#""-infinity""#),
    (
        1184,
        "2024-01-02 03:04:05.678901+00",
        r#""2024-01-02 03:04:05.678901Z""#,
    ),
    (1184, "infinity", r#""infinity""#),
    (17, r"\xdeadbeef", r#""3q2+7w==""#),
    (17, r"\x", r#""""#),
    (114, r#"{"a": "ü"}"#, r#""{\"a\": \"ü\"}""#),
    (3802, "[1, null]", r#""[1, null]""#),
    (25, "line\nbreak \"q\" \\ é", r#""line\nbreak \"q\" \\ é""#),
    (1043, "", r#""""#),
    (1042, "ab   ", r#""ab   ""#),
    (
        2950,
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#,
    ),
    (1007, "{1,NULL,3}", "[1,null,3]"),
    (1007, "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
    (1007, "[0:1]={5,6}", r#""[0:1]={5,6}""#),
    (
        1009,
        r#"{a,"b \"q\"",NULL,"NULL"}"#,
        r#"["a","b \"q\"",null,"NULL"]"#,
    ),
    (
        1185,
        r#"{"2024-01-02 03:04:05+00",infinity}"#,
        r#"["2024-01-02 03:04:05Z","infinity"]"#,
    ),
    (1231, "{1.50,NaN}", r#"["1.50","NaN"]"#),
    (1000, "{t,f}", "[true,false]"),
    (1001, r#"{"\\xdead"}"#, r#"["3q0="]"#),
    (
        1020,
        "{(1,1),(0,0);(2,2),(1,1)}",
        r#"["(1,1),(0,0)","(2,2),(1,1)"]"#,
    ),
    (22, "1 2", r#""1 2""#),
    (1186, "1 year 2 mons -3 days", r#""1 year 2 mons -3 days""#),
    (790, "-$1,234.56", r#""-$1,234.56""#),
    (16_400, "an enum's label", r#""an enum's label""#),
];

#[test]
fn each_type_has_its_json() {
    let names: Vec<String> = (0..GOLDEN.len()).map(|index| format!("c{index}")).collect();
    let columns: Vec<ColumnSpec<'_>> = names
        .iter()
        .zip(GOLDEN)
        .map(|(name, (oid, _, _))| (0, name.as_str(), *oid, -1))
        .collect();
    let row: Vec<_> = GOLDEN.iter().map(|(_, text, _)| Sent::Text(text)).collect();
    let mut assembler = Assembler::new(config(), 0);
    let relation = wire::relation(9, ("public", "every"), b'd', &columns);
    let messages = [
        relation,
        wire::begin(100, COMMIT_TIME_US, 1),
        wire::insert(9, &row),
        wire::commit(100, 108, COMMIT_TIME_US),
    ];
    assembler.set_catalog(9, None).expect("few relations");
    for message in &messages {
        if let Pushed::NeedsCatalog(_) = assembler.push(1, message, NOW_MS).expect("good") {
            assembler.set_catalog(9, None).expect("few relations");
            assembler.push(1, message, NOW_MS).expect("good");
        }
    }
    let Some(Captured::Tables(_)) = assembler.take() else {
        panic!("the table's definition");
    };
    let Some(Captured::Group(group)) = assembler.take() else {
        panic!("the row");
    };
    let batch = &group.batches[0].batch.bytes;
    let record = headwater_protocol::batch::records(batch).next();
    let value = record.expect("a record").expect("a good one").value;
    let value = std::str::from_utf8(value.expect("a value")).expect("UTF-8");
    for (name, (oid, text, json)) in names.iter().zip(GOLDEN) {
        let field = format!("\"{name}\":{json}");
        let ends = [format!("{field},"), format!("{field}}}")];
        assert!(
            ends.iter().any(|end| value.contains(end)),
            "type {oid} text {text}: no {field} in {value}"
        );
    }
}

#[test]
fn domains_are_rendered_as_their_base_type() {
    let mut harness = Harness::new(config());
    harness.push(&wire::type_message(16_500, "", "bool"));
    harness.push(&wire::type_message(16_501, "", "timestamptz"));
    // A user's own type may have any name.
    harness.push(&wire::type_message(16_502, "public", "bool"));
    let columns = [
        (0, "b", 16_500, -1),
        (0, "t", 16_501, -1),
        (0, "own", 16_502, -1),
    ];
    harness.push(&wire::relation(9, ("public", "d"), b'd', &columns));
    let row = [
        Sent::Text("t"),
        Sent::Text("2024-01-02 03:04:05+00"),
        Sent::Text("t"),
    ];
    harness.transaction(100, &[wire::insert(9, &row)]);
    harness.take_all();
    let after = &harness.log.records(0)[0].value["after"];
    assert_eq!(after["b"], true);
    assert_eq!(after["t"], "2024-01-02 03:04:05Z");
    assert_eq!(after["own"], "t");
}
