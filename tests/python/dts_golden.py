"""Prints the golden records of capture/src/encode/dts_avro/tests/rows.rs as hexadecimal digits, made with fastavro:
an encoder that shares nothing with headwater's.

    .local/venv/bin/python tests/python/dts_golden.py > capture/src/encode/dts_avro/tests/rows.hex

A line a record: "mysql insert", "mysql update", "mysql delete", "postgresql insert", a blank, the digits. Numbers, branches and
values are those of the tables of DTS's types; the rest of the row is in rows.rs.
"""

import io
import json
import os

import fastavro

SCHEMA = os.path.join(os.path.dirname(__file__), "../../docs/dts/record.avsc")
NAMESPACE = "com.alibaba.dts.formats.avro."


def branch(name, **fields):
    return (NAMESPACE + name, fields)


def integer(precision, value):
    return branch("Integer", precision=precision, value=value)


def character(charset, value):
    return branch("Character", charset=charset, value=value)


def decimal(value, precision, scale):
    return branch("Decimal", value=value, precision=precision, scale=scale)


def real(value):
    return branch("Float", value=value, precision=0, scale=0)


PARTS = ("year", "month", "day", "hour", "minute", "second", "millis")


def date_time(*parts):
    return branch("DateTime", **dict(zip(PARTS, parts)))


def with_zone(zone, *parts):
    return branch("TimestampWithTimeZone", value=dict(zip(PARTS, parts)), timezone=zone)


def binary(kind, value):
    return branch("BinaryObject", type=kind, value=value)


def text(kind, value):
    return branch("TextObject", type=kind, value=value)


NONE = "NONE"
N = None

# Name, dataTypeNumber, a value, the value of the old row.
MYSQL = [
    ("tiny", 1, integer(1, "-128"), integer(1, "255")),
    ("small", 2, integer(2, "-32768"), integer(2, "65535")),
    ("medium", 9, integer(3, "-8388608"), integer(3, "16777215")),
    ("int", 3, integer(4, "-2147483648"), integer(4, "4294967295")),
    ("big", 8, integer(8, "-9223372036854775808"), integer(8, "18446744073709551615")),
    ("bit", 16, integer(8, "0"), integer(8, "18446744073709551615")),
    ("dec", 246, decimal("1050.00", 6, 2), decimal("-0.050", 2, 3)),
    ("float", 4, real(0.1), real(-3.4028235e38)),
    ("double", 5, real(5e-324), real(1.7976931348623157e308)),
    ("date", 10, date_time(9999, 12, 31, N, N, N, N), date_time(0, 0, 0, N, N, N, N)),
    ("time", 11, date_time(N, N, N, -838, -59, -59, 0), date_time(N, N, N, 0, 0, -1, -500000)),
    ("datetime", 12, date_time(1000, 1, 1, 0, 0, 0, 0), date_time(2024, 2, 29, 23, 59, 59, 999999)),
    ("stamp", 7, branch("Timestamp", timestamp=1, millis=0), branch("Timestamp", timestamp=2147483647, millis=999999)),
    ("year", 13, date_time(1901, N, N, N, N, N, N), date_time(0, N, N, N, N, N, N)),
    ("char", 254, character("latin1", b"\x80"), N),
    ("varchar", 253, character("gbk", b"\xca\xc0"), character("gbk", b"")),
    ("utf8mb3", 253, character("utf8", "世".encode()), N),
    ("text", 15, character("utf8mb4", "größe".encode()), NONE),
    ("binary", 252, binary("BINARY", b"\x00\xff"), binary("BINARY", b"")),
    ("blob", 252, binary("BLOB", b"\x00\x01\xfe"), NONE),
    ("enum", 247, text("ENUM", "red"), text("ENUM", "")),
    ("set", 248, text("SET", "a,b"), text("SET", "")),
    ("json", 245, text("JSON", '{"a": [1, null]}'), text("JSON", "{}")),
    ("point", 255, branch("BinaryGeometry", type="WKB", value=bytes.fromhex("0101000000000000000000f03f0000000000000040")), N),
    ("none", 3, N, N),
]

POSTGRESQL = [
    ("int2", 21, integer(2, "-32768")),
    ("int4", 23, integer(4, "2147483647")),
    ("int8", 20, integer(8, "-9223372036854775808")),
    ("bpchar", 1042, character("UTF-8", b"ab ")),
    ("char", 18, character("UTF-8", b"x")),
    ("varchar", 1043, character("UTF-8", "größe".encode())),
    ("text", 25, character("UTF-8", b"")),
    ("numeric", 1700, decimal("348.00", 5, 2)),
    ("nan", 1700, text("XTYPE", "NaN")),
    ("float4", 700, real(0.1)),
    ("float8", 701, real(float("inf"))),
    ("date", 1082, date_time(2024, 2, 29, N, N, N, N)),
    ("time", 1083, date_time(N, N, N, 4, 5, 6, 500000)),
    ("timestamp", 1114, date_time(2024, 2, 29, 12, 34, 56, 789012)),
    ("timetz", 1266, with_zone("+05:30", N, N, N, 4, 5, 6, 0)),
    ("timestamptz", 1184, with_zone("+00:00", 2024, 2, 29, 12, 34, 56, 0)),
    ("bytea", 17, binary("BYTEA", b"\x00\xff")),
    ("jsonb", 3802, binary("JSON", b'{"a": 1}')),
    ("bool", 16, text("BOOL", "true")),
    ("json", 114, text("JSON", "[1]")),
    ("xml", 142, text("XML", "<a/>")),
    *((name, oid, text("XTYPE", value)) for name, oid, value in [
        ("uuid", 2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), ("money", 790, "$1.00"), ("inet", 869, "::1"),
        ("cidr", 650, "10.0.0.0/8"), ("macaddr", 829, "08:00:2b:01:02:03"), ("interval", 1186, "1 mon"),
        ("point", 600, "(1,2)"), ("line", 628, "{1,2,3}"), ("lseg", 601, "[(0,0),(1,1)]"), ("box", 603, "(1,1),(0,0)"),
        ("path", 602, "((0,0),(1,1))"), ("polygon", 604, "((0,0),(1,1))"), ("circle", 718, "<(0,0),1>"),
        ("tsvector", 3614, "'a':1"), ("tsquery", 3615, "'a'"), ("pg_lsn", 3220, "16/B374D848"),
        ("txid_snapshot", 2970, "10:20:"), ("bit", 1560, "101"), ("bits", 1561, "{101}"), ("other", 26, "7"),
    ]),
]


def record(operation, columns, before, after, source):
    postgresql = source == "PostgreSQL"
    key = columns[0][0]
    return {
        "version": 0,
        "id": 1700382,
        "sourceTimestamp": 1696984408,
        "sourcePosition": "16/B374D848" if postgresql else "72469@78",
        "safeSourcePosition": "16/0" if postgresql else "72347@78",
        "sourceTxid": "733" if postgresql else "0",
        "source": {"sourceType": source, "version": "15.18" if postgresql else "8.0.28"},
        "operation": operation,
        "objectName": "shop.public.kinds" if postgresql else "shop.kinds",
        "processTimestamps": None,
        # "metaVersion" is headwater's own number; the test puts in what the record has.
        "tags": {
            "pk_uk_info": json.dumps({"PRIMARY": [key], "by_two": [columns[1][0], columns[2][0]]}, separators=(",", ":")),
            "metaVersion": "META",
            **({} if postgresql else {"thread_id": "12", "server_id": "7"}),
            "readerThroughoutTime": "1696984408123",
        },
        "fields": [{"name": column[0], "dataTypeNumber": column[1]} for column in columns],
        "beforeImages": before,
        "afterImages": after,
        "bornTimestamp": 1696984408000,
    }


def main():
    schema = fastavro.schema.load_schema(SCHEMA)
    new, old = [column[2] for column in MYSQL], [column[3] for column in MYSQL]
    for name, value in [
        ("mysql insert", record("INSERT", MYSQL, None, new, "MySQL")),
        ("mysql update", record("UPDATE", MYSQL, old, new, "MySQL")),
        ("mysql delete", record("DELETE", MYSQL, old, None, "MySQL")),
        ("postgresql insert", record("INSERT", POSTGRESQL, None, [column[2] for column in POSTGRESQL], "PostgreSQL")),
    ]:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, value)
        print(name, out.getvalue().hex())


main()
