//! Which tables are captured: include and exclude patterns over `schema.table`.
//!
//! | pattern | matches |
//! |---|---|
//! | `public.orders` | that table |
//! | `orders` | a table of that name in any schema |
//! | `shop.*` | all tables of a schema |
//! | `*.audit_?` | `audit_1`, `audit_x` in any schema |
//! | `"my.schema"."od*d"` | names that contain a dot, `*` or `?`, literally |
//!
//! `*` stands for any number of characters, `?` for one; neither reaches over the dot between schema and
//! table. A part in double quotes is literal, `""` inside it is one quote, as in SQL. Names are compared
//! exactly: `Orders` is not `orders`, quoted or not. A table is captured if an include pattern matches (or
//! there is none) and no exclude pattern does. The server's own schemas (`pg_*`, `information_schema`) are
//! never captured.

use std::str::FromStr;

/// Bytes of a pattern. PostgreSQL's names have at most 63 bytes; this leaves room for quoting.
const PATTERN_BYTES_MAX: usize = 512;

/// Include and exclude patterns of one instance. The default captures every table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFilter {
    /// Empty: every table.
    pub include: Vec<TablePattern>,
    /// Wins over `include`.
    pub exclude: Vec<TablePattern>,
}

impl TableFilter {
    /// Parses both lists.
    ///
    /// # Errors
    /// The first bad pattern, named.
    pub fn parse<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self, PatternError> {
        let one = |pattern: &S| pattern.as_ref().parse();
        let all = |patterns: &[S]| -> Result<Vec<TablePattern>, PatternError> {
            patterns.iter().map(one).collect()
        };
        Ok(Self {
            include: all(include)?,
            exclude: all(exclude)?,
        })
    }

    /// Whether the table is captured. Names as the catalog has them, unquoted.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        let any = |patterns: &[TablePattern]| patterns.iter().any(|p| p.matches(schema, table));
        !is_system_schema(schema)
            && (self.include.is_empty() || any(&self.include))
            && !any(&self.exclude)
    }
}

/// Which columns are left out of rows, by patterns `schema.table.column` of the same form. A column that is part of
/// the record key stays in, whatever a pattern says. The default leaves none out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnFilter {
    /// One match is enough.
    pub exclude: Vec<ColumnPattern>,
}

impl ColumnFilter {
    /// Parses the patterns.
    ///
    /// # Errors
    /// The first bad pattern, named.
    pub fn parse<S: AsRef<str>>(exclude: &[S]) -> Result<Self, PatternError> {
        let one = |pattern: &S| pattern.as_ref().parse();
        Ok(Self {
            exclude: exclude.iter().map(one).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a pattern names the column. Names as the catalog has them, unquoted.
    pub fn excludes(&self, schema: &str, table: &str, column: &str) -> bool {
        let matches = |pattern: &ColumnPattern| pattern.matches(schema, table, column);
        self.exclude.iter().any(matches)
    }
}

/// One pattern over `schema.table.column`; each of the three parts as in a [`TablePattern`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPattern {
    schema: Vec<Piece>,
    table: Vec<Piece>,
    column: Vec<Piece>,
}

impl ColumnPattern {
    fn matches(&self, schema: &str, table: &str, column: &str) -> bool {
        glob(&self.schema, schema) && glob(&self.table, table) && glob(&self.column, column)
    }
}

impl FromStr for ColumnPattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        parse_column(pattern).map_err(|problem| PatternError {
            what: "column",
            pattern: pattern.chars().take(PATTERN_BYTES_MAX).collect(),
            problem,
        })
    }
}

fn parse_column(pattern: &str) -> Result<ColumnPattern, &'static str> {
    const PARTS: &str = "does not have three parts: write schema.table.column, with * for any";
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err("is longer than 512 bytes");
    }
    let (schema, rest) = part(pattern)?;
    let (table, rest) = part(rest.ok_or(PARTS)?)?;
    let (column, rest) = part(rest.ok_or(PARTS)?)?;
    match rest {
        None => Ok(ColumnPattern {
            schema,
            table,
            column,
        }),
        Some(_) => Err(PARTS),
    }
}

/// PostgreSQL reserves names that begin with `pg_`; pgoutput writes `pg_catalog` as an empty name.
fn is_system_schema(schema: &str) -> bool {
    schema.is_empty() || schema.starts_with("pg_") || schema == "information_schema"
}

/// One pattern; see the module's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    /// `None`: any schema.
    schema: Option<Vec<Piece>>,
    table: Vec<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Literal(char),
    AnyOne,
    AnyNumber,
}

/// A pattern that cannot be meant; names it and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} pattern {problem} pattern={pattern:?}")]
pub struct PatternError {
    /// What it should match: `table` or `column`.
    pub what: &'static str,
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong, and what to write instead.
    pub problem: &'static str,
}

impl TablePattern {
    /// Whether the pattern matches, regardless of other patterns.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        let schema_matches = |pieces: &Vec<Piece>| glob(pieces, schema);
        self.schema.as_ref().is_none_or(schema_matches) && glob(&self.table, table)
    }
}

impl FromStr for TablePattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        parse(pattern).map_err(|problem| PatternError {
            what: "table",
            pattern: pattern.chars().take(PATTERN_BYTES_MAX).collect(),
            problem,
        })
    }
}

fn parse(pattern: &str) -> Result<TablePattern, &'static str> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err("is longer than 512 bytes");
    }
    let (first, rest) = part(pattern)?;
    let Some(rest) = rest else {
        return Ok(TablePattern {
            schema: None,
            table: first,
        });
    };
    match part(rest)? {
        (table, None) => Ok(TablePattern {
            schema: Some(first),
            table,
        }),
        (_, Some(_)) => {
            Err("has more than one dot: write schema.table, and names with a dot in double quotes")
        }
    }
}

/// One part, and what follows its dot, if there is one.
fn part(text: &str) -> Result<(Vec<Piece>, Option<&str>), &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted_part(quoted);
    }
    let (part, rest) = match text.split_once('.') {
        Some((part, rest)) => (part, Some(rest)),
        None => (text, None),
    };
    if part.is_empty() {
        return Err("lacks a name: write schema.table");
    }
    if part.contains('"') {
        return Err("has a quote inside a name: quote the whole name");
    }
    if part.contains(|c: char| c.is_whitespace() || c == ',') {
        return Err("has a space or comma: give each pattern by itself, and quote such names");
    }
    Ok((part.chars().map(piece).collect(), rest))
}

fn piece(c: char) -> Piece {
    match c {
        '*' => Piece::AnyNumber,
        '?' => Piece::AnyOne,
        c => Piece::Literal(c),
    }
}

/// A part behind its opening quote.
fn quoted_part(text: &str) -> Result<(Vec<Piece>, Option<&str>), &'static str> {
    let mut pieces = Vec::new();
    let mut chars = text.chars();
    loop {
        let c = chars.next().ok_or("lacks the closing double quote")?;
        if c != '"' {
            pieces.push(Piece::Literal(c));
            continue;
        }
        match chars.as_str().chars().next() {
            Some('"') => {
                chars.next();
                pieces.push(Piece::Literal('"'));
            }
            Some('.') if !pieces.is_empty() => {
                chars.next();
                return Ok((pieces, Some(chars.as_str())));
            }
            None if !pieces.is_empty() => return Ok((pieces, None)),
            Some('.') | None => return Err("has an empty name in quotes"),
            Some(_) => return Err("goes on behind the closing quote: a dot must follow it"),
        }
    }
}

/// Matches with one point to come back to, the last `*`: at most names times pattern steps.
fn glob(pieces: &[Piece], name: &str) -> bool {
    let (mut pattern, mut rest) = (pieces, name.chars());
    let mut retry: Option<(&[Piece], std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = rest.clone();
        let matched = match (pattern.split_first(), ahead.next()) {
            (Some((Piece::AnyNumber, behind)), _) => {
                retry = Some((behind, rest.clone()));
                pattern = behind;
                continue;
            }
            (Some((Piece::AnyOne, behind)), Some(_)) => Some(behind),
            (Some((Piece::Literal(wanted), behind)), Some(c)) if *wanted == c => Some(behind),
            (None, None) => return true,
            (Some((Piece::AnyOne | Piece::Literal(_), _)) | None, _) => None,
        };
        if let Some(behind) = matched {
            (pattern, rest) = (behind, ahead);
            continue;
        }
        // Let the last `*` take one character more.
        let Some((behind, from)) = retry.as_mut() else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        (pattern, rest) = (behind, from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, schema: &str, table: &str) -> bool {
        let pattern: TablePattern = pattern.parse().expect(pattern);
        pattern.matches(schema, table)
    }

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, schema, table, expected) in [
            ("public.orders", "public", "orders", true),
            ("public.orders", "public", "orders2", false),
            ("public.orders", "Public", "orders", false),
            ("orders", "any", "orders", true),
            ("shop.*", "shop", "a.b", true),
            ("shop.*", "shop2", "a", false),
            ("*.audit_?", "x", "audit_1", true),
            ("*.audit_?", "x", "audit_", false),
            ("*.audit_?", "x", "audit_é", true),
            ("*", "x", "y", true),
            ("*.*", "x", "y", true),
            ("a*b*c.t", "aXbYbZc", "t", true),
            ("a*b*c.t", "aXbYbZ", "t", false),
            ("**a.t", "bba", "t", true),
            (r#""my.schema"."od*d""#, "my.schema", "od*d", true),
            (r#""my.schema"."od*d""#, "my.schema", "oddd", false),
            (r#""say ""hi""".*"#, r#"say "hi""#, "t", true),
            (r#""Orders""#, "x", "Orders", true),
        ] {
            let got = matches(pattern, schema, table);
            assert_eq!(got, expected, "{pattern} on {schema} . {table}");
        }
    }

    #[test]
    fn bad_patterns_are_named_with_their_problem() {
        for (pattern, part_of_message) in [
            ("", "lacks a name"),
            (".t", "lacks a name"),
            ("s.", "lacks a name"),
            ("db.s.t", "more than one dot"),
            (r#""s"#, "closing double quote"),
            (r#"s."t"#, "closing double quote"),
            (r#""""#, "empty name"),
            (r#""".t"#, "empty name"),
            (r#""s"t"#, "goes on behind"),
            (r#"s"t".u"#, "quote inside"),
            ("s.t, s.u", "space or comma"),
            (&"x".repeat(513), "longer than 512"),
        ] {
            let error = pattern.parse::<TablePattern>().expect_err(pattern);
            let message = error.to_string();
            assert!(message.contains(part_of_message), "{message}");
            assert!(message.contains("pattern="), "{message}");
        }
    }

    #[test]
    fn exclude_wins_and_no_include_means_every_table() {
        let filter = TableFilter::parse(&["shop.*", "x.y"], &["*.secret*"]).expect("good patterns");
        assert!(filter.matches("shop", "orders"));
        assert!(filter.matches("x", "y"));
        assert!(!filter.matches("x", "z"));
        assert!(!filter.matches("shop", "secrets"));
        assert!(TableFilter::default().matches("anything", "at all"));
    }

    #[test]
    fn the_servers_own_schemas_are_never_captured() {
        let everything = TableFilter::parse(&["*.*", "pg_catalog.*"], &[]).expect("good patterns");
        for schema in [
            "",
            "pg_catalog",
            "pg_toast",
            "pg_temp_3",
            "information_schema",
        ] {
            assert!(!everything.matches(schema, "t"), "{schema}");
        }
        assert!(everything.matches("pgbench", "t"));
    }

    #[test]
    fn a_hostile_pattern_is_matched_in_bounded_time() {
        let pattern = format!("{}b.t", "*a".repeat(200));
        assert!(!matches(&pattern, &"a".repeat(60_000), "t"));
    }
}
