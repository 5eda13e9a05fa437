//! An array as PostgreSQL writes it: `{1,NULL,"a \"b\""}`, `{{1,2},{3,4}}`, `[0:1]={5,6}`.
//!
//! Manual: "Array Input and Output Syntax". The text is checked once ([`ArrayText::parse`]) and then walked
//! in place. An element is quoted where it is empty, reads NULL, or holds a brace, a quote, a backslash, a
//! space or the delimiter, which is a comma except for `box`.

use std::fmt;

use super::escaped::Quoted;
use super::{Value, ValueKind};

/// PostgreSQL's MAXDIM.
const DIMENSIONS_MAX: usize = 6;

/// Reads one element's text.
type Read = for<'t> fn(ValueKind, &'t [u8]) -> Value<'t>;

/// A well-formed array literal.
#[derive(Clone, Copy)]
pub struct ArrayText<'a> {
    text: &'a [u8],
    kind: ValueKind,
    delimiter: u8,
    read: Read,
}

/// What a walk over an array meets, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A dimension begins.
    Open,
    /// An element, or NULL.
    Element(Value<'a>),
    /// A dimension ends.
    Close,
}

impl<'a> ArrayText<'a> {
    /// Checks the text of an array whose elements are of `kind`. `None`: it is no array literal.
    pub(crate) fn parse(
        text: &'a [u8],
        kind: ValueKind,
        delimiter: u8,
        read: Read,
    ) -> Option<Self> {
        is_well_formed(behind_subscripts(text)?, delimiter).then_some(Self {
            text,
            kind,
            delimiter,
            read,
        })
    }

    /// The server's text.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Whether subscripts begin elsewhere than at 1.
    pub fn has_subscripts(&self) -> bool {
        self.text.first() == Some(&b'[')
    }

    /// Shows every item, until the first error. `scratch` takes elements in which something was escaped.
    ///
    /// # Errors
    /// The callback's.
    pub fn walk<E>(
        &self,
        scratch: &mut Vec<u8>,
        mut each: impl FnMut(Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let literal = behind_subscripts(self.text).unwrap_or_default();
        for token in Tokens::new(literal, self.delimiter) {
            match token {
                Token::Open => each(Item::Open)?,
                Token::Close => each(Item::Close)?,
                Token::Delimiter | Token::Bad => {}
                Token::Plain(text) if text.eq_ignore_ascii_case(b"NULL") => {
                    each(Item::Element(Value::Null))?;
                }
                Token::Plain(text) => each(Item::Element((self.read)(self.kind, text)))?,
                Token::Quoted(text) => {
                    each(Item::Element((self.read)(self.kind, text.text(scratch))))?;
                }
            }
        }
        Ok(())
    }
}

/// What is behind `[l:u][l:u]=`, if that is there; an array whose subscripts begin at 1 has none.
fn behind_subscripts(text: &[u8]) -> Option<&[u8]> {
    if text.first() != Some(&b'[') {
        return Some(text);
    }
    let at = text.iter().position(|byte| *byte == b'=')?;
    let (subscripts, literal) = text.split_at(at);
    let is_subscript = |byte: &u8| byte.is_ascii_digit() || b"[]:-+".contains(byte);
    subscripts.iter().all(is_subscript).then_some(())?;
    literal.get(1..)
}

/// Whether braces are balanced and elements and delimiters take turns.
fn is_well_formed(literal: &[u8], delimiter: u8) -> bool {
    let (mut depth, mut wants_element, mut is_empty) = (0_usize, true, false);
    let mut tokens = Tokens::new(literal, delimiter);
    for token in tokens.by_ref() {
        let fits = match token {
            Token::Open => wants_element && depth < DIMENSIONS_MAX,
            Token::Plain(_) | Token::Quoted(_) => wants_element && depth > 0,
            Token::Delimiter => !wants_element && depth > 0,
            Token::Close => depth > 0 && (!wants_element || is_empty),
            Token::Bad => false,
        };
        if !fits {
            return false;
        }
        is_empty = matches!(token, Token::Open);
        wants_element = matches!(token, Token::Open | Token::Delimiter);
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            Token::Plain(_) | Token::Quoted(_) | Token::Delimiter | Token::Bad => {}
        }
        if depth == 0 {
            break;
        }
    }
    depth == 0 && !wants_element && tokens.rest.is_empty()
}

#[derive(Debug, Clone, Copy)]
enum Token<'a> {
    Open,
    Close,
    Delimiter,
    Plain(&'a [u8]),
    Quoted(Quoted<'a>),
    /// Nothing that an array literal can hold here.
    Bad,
}

struct Tokens<'a> {
    rest: &'a [u8],
    delimiter: u8,
}

impl<'a> Tokens<'a> {
    fn new(rest: &'a [u8], delimiter: u8) -> Self {
        Self { rest, delimiter }
    }

    fn quoted(&mut self, behind_quote: &'a [u8]) -> Token<'a> {
        let Some((quoted, rest)) = Quoted::take(behind_quote) else {
            self.rest = &[];
            return Token::Bad;
        };
        self.rest = rest;
        Token::Quoted(quoted)
    }

    fn plain(&mut self) -> Token<'a> {
        let ends = |byte: &u8| *byte == self.delimiter || b"{}\"\\".contains(byte);
        let end = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (plain, rest) = self.rest.split_at(end);
        self.rest = rest;
        match rest.first() {
            Some(b'{' | b'"' | b'\\') | None => Token::Bad,
            Some(_) => Token::Plain(plain),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let (first, behind) = self.rest.split_first()?;
        let single = match first {
            b'{' => Token::Open,
            b'}' => Token::Close,
            b'"' => return Some(self.quoted(behind)),
            byte if *byte == self.delimiter => Token::Delimiter,
            _ => return Some(self.plain()),
        };
        self.rest = behind;
        Some(single)
    }
}

impl fmt::Debug for ArrayText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArrayText")
            .field(&self.kind)
            .field(&self.text)
            .finish()
    }
}

/// Two arrays are equal if their texts and their elements' kinds are.
impl PartialEq for ArrayText<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.text, self.kind, self.delimiter) == (other.text, other.kind, other.delimiter)
    }
}

impl Eq for ArrayText<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(_: ValueKind, text: &[u8]) -> Value<'_> {
        Value::Text(text)
    }

    /// The walk as text: `[`, `]`, `null`, and elements in angle brackets.
    fn walked(text: &[u8], delimiter: u8) -> Option<String> {
        let array = ArrayText::parse(text, ValueKind::Text, delimiter, read)?;
        let mut out = String::new();
        let walk = array.walk(&mut Vec::new(), |item| {
            match item {
                Item::Open => out.push('['),
                Item::Close => out.push(']'),
                Item::Element(Value::Text(text)) => {
                    out += &format!("<{}>", String::from_utf8_lossy(text));
                }
                Item::Element(_) => out += "null",
            }
            Ok::<(), ()>(())
        });
        walk.map(|()| out).ok()
    }

    #[test]
    fn elements_dimensions_and_escapes_are_read_as_the_server_writes_them() {
        for (text, expected) in [
            ("{}", "[]"),
            ("{1,NULL,3}", "[<1>null<3>]"),
            ("{null}", "[null]"),
            (
                r#"{"NULL","",a b,"c,d","\"q\"","\\","{}"}"#,
                r#"[<NULL><><a b><c,d><"q"><\><{}>]"#,
            ),
            ("{{1,2},{3,4}}", "[[<1><2>][<3><4>]]"),
            ("{{{{{{1}}}}}}", "[[[[[[<1>]]]]]]"),
            ("[0:1]={5,6}", "[<5><6>]"),
            ("[-1:-1][2:3]={{5,6}}", "[[<5><6>]]"),
            (r#"{"(1,\"b c\")"}"#, r#"[<(1,"b c")>]"#),
        ] {
            assert_eq!(
                walked(text.as_bytes(), b',').as_deref(),
                Some(expected),
                "{text}"
            );
        }
        let boxes = walked(b"{(1,1),(0,0);(2,2),(1,1)}", b';');
        assert_eq!(boxes.as_deref(), Some("[<(1,1),(0,0)><(2,2),(1,1)>]"));
    }

    #[test]
    fn what_is_no_array_literal_is_refused() {
        for text in [
            "",
            "1",
            "{",
            "}",
            "{1",
            "{1,}",
            "{,1}",
            "{1 2}}",
            "{}{}",
            "{1}{",
            "{a\"b\"}",
            "{\"a\"b}",
            "{\"a}",
            "{\"a\\\"}",
            "{a\\}",
            "{1,{2}",
            "{{{{{{{1}}}}}}}",
            "[0:1]",
            "[x]={1}",
            "1,2",
            "{},{}",
            "{1}x",
        ] {
            assert_eq!(walked(text.as_bytes(), b','), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_walked_in_balance(text in "[\\[\\]{},\"\\\\a1=: ]{0,24}") {
            if let Some(walk) = walked(text.as_bytes(), b',') {
                prop_assert!(walk.starts_with('[') && walk.ends_with(']'), "{text}: {walk}");
            }
        }

        #[test]
        fn any_elements_come_back(elements in prop::collection::vec("\\PC{0,8}", 0..6)) {
            let quoted = |element: &String| {
                format!("\"{}\"", element.replace('\\', "\\\\").replace('"', "\\\""))
            };
            let literal: Vec<String> = elements.iter().map(quoted).collect();
            let literal = format!("{{{}}}", literal.join(","));
            let expected: String = elements.iter().map(|element| format!("<{element}>")).collect();
            prop_assert_eq!(walked(literal.as_bytes(), b','), Some(format!("[{expected}]")));
        }
    }
}
