INSERT INTO numbers VALUES
  (1, true, -32768, -2147483648, -9223372036854775808, 0, 1.1, 1.1, 123.4500, 123.45, 12345, '-$1,234.56'),
  (2, false, 32767, 2147483647, 9223372036854775807, 4294967295, 3.4028235e38, 1.7976931348623157e308, 1e30, -9999999.99,
   -1, '$92,233,720,368,547,758.07'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, true, 0, 0, 0, 1, -0.0, 5e-324, -0.000001, 0, 0, '$0.00'),
  (5, true, 0, 0, 0, 1, 'NaN', 'Infinity', 'NaN', 'NaN', 7, '$1.00'),
  (6, true, 0, 0, 0, 1, '-Infinity', 'NaN', 'Infinity', 1.5, 7, '$1.00'),
  (7, true, 0, 0, 0, 1, 1e-45, 123456789.123, 0.00, 128, 100, '-$0.01'),
  (8, true, 0, 0, 0, 1, 16777216, 1e15, -128, -0.01, 255, '$1.28');
INSERT INTO texts VALUES
  (1, E'a "q" \\ \n\t\u0001 é 漢 😀', 'v', 'c', 'x', 'nm', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"a": 1, "a":2 }',
   '{"b": [1, 2.50, null], "a": "é"}', '<a>1</a>', 'CiText', 'Top.Sub', 'the fat:3 cat''s', 'a & !b', 'very happy',
   'a=>1, "b c"=>NULL, q=>"\"x\\"'),
  (2, '', '', '', '', '', NULL, 'null', '"s"', '<a/>', '', '', '', '', 'sad', ''),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO times VALUES
  (1, '2024-02-29', '12:34:56.789012', '12:34:56', '12:34:56.789', '12:34:56.789012+05:30', '2024-01-02 03:04:05.678901',
   '2024-01-02 03:04:05', '2024-01-02 03:04:05.678', '2024-01-02 03:04:05.678901+02', '2024-01-02 03:04:05+02',
   '2024-01-02 03:04:05.670+02', '1 year 2 mons -3 days 04:05:06.789', '10 s'),
  (2, '1969-12-31', '00:00', '00:00', '00:00', '00:00+00', '1969-12-31 23:59:59.999999', '1969-12-31 23:59:59',
   '1969-12-31 23:59:59.999', '1969-12-31 23:59:59.999999+00', '1970-01-01 00:00:00+00', '0001-01-01 00:00:00+00',
   '-1 year -2 mons +3 days -04:05:06.789', '0'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, 'infinity', '24:00', '24:00', '24:00', '24:00+00', 'infinity', 'infinity', 'infinity', 'infinity', 'infinity',
   'infinity', '178000000 years', '1 s'),
  (5, '-infinity', '23:59:59.999999', '23:59:59', '23:59:59.999', '23:59:59.999999-12', '-infinity', '-infinity',
   '-infinity', '-infinity', '-infinity', '-infinity', '00:00:00.000001', '1 s'),
  (6, '0044-03-15 BC', '01:02:03.4', '01:02:03', '01:02:03.4', '01:02:03.4-00:30', '0044-03-15 12:00:00 BC',
   '0044-03-15 12:00:00 BC', '0044-03-15 12:00:00 BC', '0044-03-15 12:00:00+00 BC', '0044-03-15 12:00:00+00 BC',
   '0044-03-15 12:00:00+00 BC', '1 mon', '1 s'),
  (7, '12345-06-07', '01:02:03', '01:02:03', '01:02:03', '01:02:03+14', '12345-06-07 01:02:03.5', '12345-06-07 01:02:03',
   '12345-06-07 01:02:03.5', '12345-06-07 01:02:03.5+00', '12345-06-07 01:02:03+00', '12345-06-07 01:02:03.5+00',
   '-23:59:59.5', '1 s'),
  (8, '1500-02-28', '01:02:03.000001', '01:02:03', '01:02:03.001', '01:02:03.000001+00', '1500-02-28 01:02:03.000001',
   '1500-02-28 01:02:03', '1500-02-28 01:02:03.001', '1500-02-28 01:02:03.1+00', '1500-02-28 01:02:00+00',
   '1500-02-28 01:02:03.12+00', '5 days', '1 s');
INSERT INTO bytes VALUES
  (1, '\xdeadbeef', B'1', B'1010000001', B'10101010', B'101', B'1'),
  (2, '', B'0', B'0000000000', B'', B'00000', B'0'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, '\x00ff', B'1', B'1111111111', B'100000000000000001', B'1', B'');
INSERT INTO shapes VALUES
  (1, '(1.5,-2)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '((0,0),(1,1),(2,0))', '((0,0),(1,1),(2,0))', '<(0,0),2>'),
  (2, '(Infinity,1e300)', '{0,1,-3.5}', '[(0,0),(0,0)]', '(0,0),(0,0)', '[(0,0),(1,1)]', '((0,0))', '<(1,2),0>'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nets VALUES
  (1, '10.0.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '16/B374D848', '18446744073709551615',
   'pg_class', '10:20:10,14,15'),
  (2, '::1', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff', '0/0', '0', '0', '1:1:'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO ranges VALUES
  (1, '[1,5)', '(,3]', '(1.5,)', '[2024-01-01,2024-02-01)', '[2024-01-01 00:00+02,infinity)', '[2024-01-01,2024-01-31]',
   '{[1,3),[5,7)}'),
  (2, 'empty', 'empty', 'empty', 'empty', 'empty', 'empty', '{}'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO arrays VALUES
  (1, '{1,NULL,3}', '{1,NULL,-3}', '{9223372036854775807}', '{1.5,NULL}', '{0.1}', '{t,f,NULL}',
   E'{a,"NULL",NULL,"with \\"q\\", \\\\ and {}",""}', '{x,"y z"}', '{1.50,-2,NULL}', '{1.5,NULL}', '{2024-02-29,1969-12-31}',
   '{"2024-01-02 03:04:05.678901"}', '{"2024-01-02 03:04:05.678901+02"}', '{12:34:56.789}', '{12:34:56+02}',
   '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', '{"{\"a\": 1}"}', '{"{\"a\": 1}",null}', E'{"\\\\xdead"}', '{10.0.0.1,::1}',
   '{1,4294967295}', '{ok,"very happy"}', '{Ci}', '{"a=>1"}', '{ab}'),
  (2, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
   '{}', '{}', '{}', '{}', '{}'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO odd_arrays VALUES
  (1, '{{1,2},{3,4}}', '{(1,1),(0,0);(2,2),(1,1)}', '{1 day}', '{$1.00}', '{nm}', '{101}', '{10}', '{<a/>}', '{"(1,2)"}',
   '{"(1,\"b c\")"}', '{"[1,3)"}', '{1.50,2}', '{"{[1,3)}"}'),
  (2, '[0:1]={5,6}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO user_types VALUES (1, '(1,"b c")', 1.5, 7, 8), (2, NULL, NULL, NULL, NULL);
INSERT INTO fallbacks VALUES (1, NULL, NULL, 3), (2, 5, 'y', 4);

INSERT INTO keyed_full VALUES (1, 'a', 1.50);
UPDATE keyed_full SET t = 'b' WHERE id = 1;
UPDATE keyed_full SET id = 2 WHERE id = 1;
DELETE FROM keyed_full WHERE id = 2;
INSERT INTO keyed VALUES (1, 'x', 'v');
UPDATE keyed SET v = 'w';
UPDATE keyed SET a = 2;
DELETE FROM keyed;
INSERT INTO keyless VALUES ('a', 1);
UPDATE keyless SET w = 2;
DELETE FROM keyless;
BEGIN;
INSERT INTO keyed VALUES (5, 'y', 'one'), (6, 'y', 'two');
INSERT INTO keyless VALUES ('b', 1);
COMMIT;
TRUNCATE keyed;
INSERT INTO toasted
  SELECT 1, 1, s, decode(repeat('ab', 5000), 'hex'), to_jsonb(s), hstore('k', s), ARRAY[s], (SELECT array_agg(g) FROM generate_series(1, 2000) g),
         (repeat('7', 9000))::numeric
  FROM (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 200) g) AS long(s);
UPDATE toasted SET v = 2;
INSERT INTO generated (a) VALUES (21);
INSERT INTO "Odd schema"."größe.x" VALUES (1, 'x', 2);
UPDATE "Odd schema"."größe.x" SET "a.b c" = 'y';
SELECT pg_logical_emit_message(true, 'app', 'in a transaction'), pg_logical_emit_message(false, 'app', E'\\x00ff'::bytea);
BEGIN;
INSERT INTO keyed VALUES (8, 't', 'one');
SELECT pg_logical_emit_message(true, 'app', 'between');
UPDATE keyed SET a = 9;
INSERT INTO excluded VALUES (1);
INSERT INTO keyless VALUES ('c', 2);
TRUNCATE keyed_full, keyless;
INSERT INTO "Odd schema"."größe.x" VALUES (2, 'x', 2);
DELETE FROM keyed;
COMMIT;
INSERT INTO excluded VALUES (2);
BEGIN;
SELECT pg_logical_emit_message(false, 'app', 'of no transaction');
INSERT INTO keyed VALUES (1, 'undone', NULL);
ROLLBACK;
ALTER TABLE keyed ADD COLUMN added int DEFAULT 4;
INSERT INTO keyed VALUES (7, 'z', 'three', NULL);
INSERT INTO finish VALUES (1);
