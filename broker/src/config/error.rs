//! A configuration error: one line with file, line, what, and the fix.

use std::{fmt, path::Path};

/// What is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    /// 1-based; `None` for what concerns the file as a whole.
    line: Option<usize>,
    message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// An error of the file as a whole.
    #[must_use]
    pub fn whole(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.display().to_string(),
            line: None,
            message: message.into(),
        }
    }

    /// An error at byte `position` of `text`.
    #[must_use]
    pub fn at(file: &Path, text: &str, position: usize, message: impl Into<String>) -> Self {
        let before = text.as_bytes().get(..position).unwrap_or(text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Self {
            line: Some(line),
            ..Self::whole(file, message)
        }
    }

    /// The parser's error as one line, with a suggestion for a key that does not exist. The source line is not
    /// shown: a secret may stand in it.
    #[must_use]
    pub fn from_toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let message = match without_value(error.message()) {
            Some(message) => message,
            None => suggested(error.message()).replace('\n', ", "),
        };
        match error.span() {
            Some(span) => Self::at(file, text, span.start, message),
            None => Self::whole(file, message),
        }
    }
}

/// serde's "invalid type: string "VALUE", expected struct Source" without the value, which may be a secret or hold
/// one, and in an operator's words.
fn without_value(message: &str) -> Option<String> {
    // From the right: the value may hold the same words.
    let (given, expected) = message.rsplit_once(", expected ")?;
    let given = given.strip_prefix("invalid type: ")?;
    let given = match given.split([' ', '`']).next()? {
        "string" => "a string",
        "integer" => "a whole number",
        "floating" => "a number with a fraction",
        "boolean" => "true or false",
        "map" => "a table",
        "sequence" => "a list",
        _ => "a value of another kind",
    };
    let expected = match expected {
        "a sequence" => "a list".to_owned(),
        table if table.starts_with("struct ") || table == "a map" => {
            "a table, as in { key = value }".to_owned()
        }
        other => other.replace("usize", "whole number"),
    };
    Some(format!("expected {expected}, not {given}"))
}

/// serde's "unknown field `x`, expected one of `a`, `b`" as a sentence with the nearest key. Other messages
/// stay, but for the name of a type that means nothing to an operator. (The keys are taken from the message so that the structs stay the one list of them.)
fn suggested(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else {
        return message.replace(" usize", " whole number");
    };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next() else {
        return message.to_owned();
    };
    let known: Vec<&str> = quoted.collect();
    match nearest(unknown, &known) {
        Some(key) => format!("unknown key `{unknown}`: did you mean `{key}`?"),
        None => format!(
            "unknown key `{unknown}`: known here are {}",
            known.join(", ")
        ),
    }
}

/// The known word that `word` is probably meant to be: at most a third of it is wrong.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |key: &str| strsim::osa_distance(&word.to_lowercase(), key);
    let (key, wrong) = known
        .iter()
        .map(|key| (*key, distance(key)))
        .min_by_key(|(_, wrong)| *wrong)?;
    (wrong <= key.len().max(3) / 3).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_suggested_and_a_far_one_is_not() {
        let known = ["listen", "advertised", "allow_unauthenticated"];
        for (word, expected) in [
            ("lisen", Some("listen")),
            ("LISTEN", Some("listen")),
            ("advertise", Some("advertised")),
            ("allow_unauthentcated", Some("allow_unauthenticated")),
            ("port", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_told_without_the_value() {
        for (serde, told) in [
            (
                "invalid type: string \"postgres://a:secret, expected b@c\", expected struct Source",
                "expected a table, as in { key = value }, not a string",
            ),
            (
                "invalid type: integer `12345678`, expected a string",
                "expected a string, not a whole number",
            ),
            (
                "invalid type: map, expected a sequence",
                "expected a list, not a table",
            ),
        ] {
            assert_eq!(without_value(serde).as_deref(), Some(told));
        }
        assert_eq!(without_value("missing field `name`"), None);
    }

    #[test]
    fn lines_are_counted_from_one() {
        let file = Path::new("a.toml");
        assert_eq!(
            ConfigError::at(file, "a\nb\nc", 0, "x").to_string(),
            "a.toml:1: x"
        );
        assert_eq!(
            ConfigError::at(file, "a\nb\nc", 4, "x").to_string(),
            "a.toml:3: x"
        );
        assert_eq!(
            ConfigError::at(file, "a\n", 99, "x").to_string(),
            "a.toml:2: x"
        );
    }
}
