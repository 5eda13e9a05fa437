-- Tables of every type that real Debezium starts with. What it does not start with (a domain over an enum, a table
-- without columns) stands in the type matrix only (capture/tests/postgres/types.rs).
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'very happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN price AS numeric(10, 2);
CREATE DOMAIN small AS int;
CREATE DOMAIN smaller AS small;

CREATE TABLE numbers (
  id int PRIMARY KEY, b bool, i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8,
  n numeric, n92 numeric(9, 2), n50 numeric(5, 0), m money);
CREATE TABLE texts (
  id int PRIMARY KEY, t text, v varchar(20), c char(5), c1 "char", nm name, u uuid, j json, jb jsonb, x xml,
  ci citext, lt ltree, tv tsvector, tq tsquery, md mood, h hstore);
CREATE TABLE times (
  id int PRIMARY KEY, d date, t time, t0 time(0), t3 time(3), tz timetz, ts timestamp, ts0 timestamp(0),
  ts3 timestamp(3), tstz timestamptz, tstz0 timestamptz(0), tstz3 timestamptz(3), i interval, i0 interval(0));
CREATE TABLE bytes (id int PRIMARY KEY, b bytea, b1 bit(1), b10 bit(10), vb varbit, vb5 varbit(5), vb1 varbit(1));
CREATE TABLE shapes (
  id int PRIMARY KEY, p point, l line, ls lseg, bx box, pa path, po polygon, ci circle);
CREATE TABLE nets (
  id int PRIMARY KEY, ip inet, c cidr, m macaddr, m8 macaddr8, l pg_lsn, xid8 xid8, rc regclass, snap pg_snapshot);
CREATE TABLE ranges (
  id int PRIMARY KEY, i4 int4range, i8 int8range, n numrange, ts tsrange, tstz tstzrange, d daterange,
  mr int4multirange);
CREATE TABLE arrays (
  id int PRIMARY KEY, i2 int2[], i4 int4[], i8 int8[], f4 float4[], f8 float8[], b bool[], t text[], v varchar(9)[],
  n numeric[], n92 numeric(9, 2)[], d date[], ts timestamp[], tstz timestamptz[], tm time[], tmz timetz[], u uuid[],
  j json[], jb jsonb[], by bytea[], ip inet[], o oid[], md mood[], ci citext[], h hstore[], c char(3)[]);
CREATE TABLE odd_arrays (
  id int PRIMARY KEY, i44 int4[], bx box[], iv interval[], mo money[], nm name[], bits bit(3)[], vb varbit[], x xml[],
  p point[], pr pair[], r int4range[], dom price[], mr int4multirange[]);
CREATE TABLE user_types (id int PRIMARY KEY, pr pair, dn price, di small, dd smaller);
CREATE TABLE fallbacks (id int PRIMARY KEY, a int DEFAULT 7, t text DEFAULT 'x', s int NOT NULL DEFAULT 3);

CREATE TABLE keyed_full (id int PRIMARY KEY, t text, n numeric);
ALTER TABLE keyed_full REPLICA IDENTITY FULL;
CREATE TABLE keyed (a int, b text, v text, PRIMARY KEY (b, a));
CREATE TABLE keyless (v text, w int);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE toasted (id int PRIMARY KEY, v int, t text, b bytea, j jsonb, h hstore, ta text[], ia int[], n numeric);
ALTER TABLE toasted ALTER t SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL, ALTER j SET STORAGE EXTERNAL,
  ALTER h SET STORAGE EXTERNAL, ALTER ta SET STORAGE EXTERNAL, ALTER ia SET STORAGE EXTERNAL,
  ALTER n SET STORAGE EXTERNAL;
CREATE TABLE generated (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
CREATE SCHEMA "Odd schema";
CREATE TABLE "Odd schema"."größe.x" ("Id" int PRIMARY KEY, "a.b c" text, "naïve ""q""" int);
CREATE TABLE excluded (id int PRIMARY KEY);
CREATE TABLE finish (id int PRIMARY KEY);
