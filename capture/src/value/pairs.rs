//! Keys with values as PostgreSQL's extension hstore writes them: `"a"=>"1", "b"=>NULL`.

use super::escaped::Quoted;

/// A well-formed list of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairsText<'a> {
    text: &'a [u8],
}

impl<'a> PairsText<'a> {
    /// `None`: it is no such list.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut rest = text;
        while !rest.is_empty() {
            let (_, _, behind) = pair(rest)?;
            rest = match behind.strip_prefix(b", ") {
                Some([]) => return None,
                Some(next) => next,
                None if behind.is_empty() => behind,
                None => return None,
            };
        }
        Some(Self { text })
    }

    /// The server's text.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Shows each key with its value, `None` for NULL, until the first error. `scratch` takes texts in which
    /// something was escaped.
    ///
    /// # Errors
    /// The callback's.
    pub fn walk<E>(
        &self,
        (key_scratch, value_scratch): (&mut Vec<u8>, &mut Vec<u8>),
        mut each: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = self.text;
        while let Some((key, value, behind)) = pair(rest) {
            let value = value.as_ref().map(|value| value.text(value_scratch));
            each(key.text(key_scratch), value)?;
            rest = behind.strip_prefix(b", ").unwrap_or_default();
        }
        Ok(())
    }
}

/// One pair, and what follows it.
fn pair(text: &[u8]) -> Option<(Quoted<'_>, Option<Quoted<'_>>, &[u8])> {
    let (key, rest) = Quoted::take(text.strip_prefix(b"\"")?)?;
    let rest = rest.strip_prefix(b"=>")?;
    if let Some(rest) = rest.strip_prefix(b"NULL") {
        return Some((key, None, rest));
    }
    let (value, rest) = Quoted::take(rest.strip_prefix(b"\"")?)?;
    Some((key, Some(value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(text: &str) -> Option<String> {
        let pairs = PairsText::parse(text.as_bytes())?;
        let mut out = String::new();
        let mut scratch = (Vec::new(), Vec::new());
        let walk = pairs.walk((&mut scratch.0, &mut scratch.1), |key, value| {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            out += &format!("{}:{};", text(key), value.map_or("-".into(), text));
            Ok::<(), ()>(())
        });
        walk.map(|()| out).ok()
    }

    #[test]
    fn pairs_are_read_as_the_server_writes_them() {
        for (text, expected) in [
            ("", ""),
            (r#""a"=>"1""#, "a:1;"),
            (
                r#""a"=>"1", "b c"=>NULL, "q"=>"\"x\\, ""#,
                r#"a:1;b c:-;q:"x\, ;"#,
            ),
            (r#"""=>"""#, ":;"),
        ] {
            assert_eq!(walked(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_of_pairs_is_refused() {
        for text in [
            "a=>1",
            r#""a""#,
            r#""a"=>"#,
            r#""a"=>"1","#,
            r#""a"=>"1", "#,
            r#""a"=>"1"x"#,
            r#""a"=>NULL1"#,
            r#""a"=>"1\""#,
            r#""a"=>"1" "b"=>"2""#,
        ] {
            assert_eq!(walked(text), None, "{text}");
        }
    }
}
