//! Erlang terms, as far as an `acl.conf` has them: tuples, lists, atoms, strings, binaries and whole numbers, each ended by a full stop.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use crate::fault::Fault;

use super::super::number;

/// The deepest nesting that is read; a rule's own is 5.
const DEPTH_MAX: usize = 32;

/// A term, and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Atom(String),
    /// A string or a binary.
    Text(String),
    Number(i64),
    Tuple(Vec<Term>),
    List(Vec<Term>),
}

/// Reads all terms of a text.
///
/// # Errors
/// The first place where it is none.
pub(super) fn read(text: &str, origin: &str) -> Result<Vec<Term>, Fault> {
    let mut reader = Reader { origin, rest: text.chars().peekable(), line: 1, column: 1 };
    let mut terms = Vec::new();
    loop {
        reader.skip_blank();
        if reader.rest.peek().is_none() {
            return Ok(terms);
        }
        terms.push(reader.term(0)?);
        reader.skip_blank();
        reader.expect('.', "a full stop behind each rule")?;
    }
}

struct Reader<'t> {
    origin: &'t str,
    rest: Peekable<Chars<'t>>,
    line: usize,
    column: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.next()?;
        match character {
            '\n' => (self.line, self.column) = (self.line + 1, 1),
            _ => self.column += 1,
        }
        Some(character)
    }

    fn fault(&mut self, allowed: &str) -> Fault {
        let found = self.rest.peek().map_or_else(|| "the text ends".to_owned(), |found| format!("found {found:?}"));
        Fault::new(self.origin, "", found, allowed).at(number(self.line), number(self.column))
    }

    fn expect(&mut self, wanted: char, allowed: &str) -> Result<(), Fault> {
        match self.rest.peek() {
            Some(&found) if found == wanted => {
                self.next();
                Ok(())
            }
            _ => Err(self.fault(allowed)),
        }
    }

    /// Passes over white space and `%` comments.
    fn skip_blank(&mut self) {
        while let Some(&character) = self.rest.peek() {
            if character == '%' {
                while self.rest.peek().is_some_and(|&character| character != '\n') {
                    self.next();
                }
            } else if character.is_whitespace() || character == '\u{feff}' {
                self.next();
            } else {
                return;
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<Term, Fault> {
        const ALLOWED: &str = "a term: {…}, […], a word, \"text\", <<\"text\">> or a whole number";
        self.skip_blank();
        let (line, column) = (number(self.line), number(self.column));
        if depth > DEPTH_MAX {
            return Err(self.fault("terms that are not nested so deeply"));
        }
        let value = match self.rest.peek().copied() {
            Some('{') => Value::Tuple(self.items('}', depth)?),
            Some('[') => Value::List(self.items(']', depth)?),
            Some('"') => Value::Text(self.quoted('"')?),
            Some('\'') => Value::Atom(self.quoted('\'')?),
            Some('<') => {
                self.expect('<', ALLOWED)?;
                self.expect('<', "<<\"text\">>")?;
                let text = self.quoted('"')?;
                if self.rest.peek() == Some(&'/') {
                    while self.rest.peek().is_some_and(|&character| character.is_alphanumeric() || character == '/') {
                        self.next();
                    }
                }
                self.expect('>', "<<\"text\">>")?;
                self.expect('>', "<<\"text\">>")?;
                Value::Text(text)
            }
            Some(first) if first.is_ascii_lowercase() => {
                Value::Atom(self.word(|character| character.is_alphanumeric() || matches!(character, '_' | '@')))
            }
            Some(first) if first.is_ascii_digit() || first == '-' => {
                let digits = self.word(|character| character.is_ascii_digit() || character == '-');
                match digits.parse() {
                    Ok(value) => Value::Number(value),
                    Err(_) => return Err(self.fault("a whole number of at most 64 bits")),
                }
            }
            _ => return Err(self.fault(ALLOWED)),
        };
        Ok(Term { line, column, value })
    }

    fn items(&mut self, end: char, depth: usize) -> Result<Vec<Term>, Fault> {
        self.next();
        let mut items = Vec::new();
        loop {
            self.skip_blank();
            if items.is_empty() && self.rest.peek() == Some(&end) {
                self.next();
                return Ok(items);
            }
            items.push(self.term(depth + 1)?);
            self.skip_blank();
            match self.rest.peek() {
                Some(',') => {
                    self.next();
                }
                Some(&found) if found == end => {
                    self.next();
                    return Ok(items);
                }
                _ => return Err(self.fault(if end == '}' { "a comma or }" } else { "a comma or ]" })),
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, Fault> {
        self.expect(quote, "a quote")?;
        let mut text = String::new();
        loop {
            match self.next() {
                Some(end) if end == quote => return Ok(text),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('s') => text.push(' '),
                    Some(other) if !other.is_alphanumeric() => text.push(other),
                    _ => return Err(self.fault("\\n, \\t, \\s, or a \\ before a quote or a \\")),
                },
                Some(other) => text.push(other),
                None => return Err(self.fault("a closing quote")),
            }
        }
    }

    fn word(&mut self, is_part: impl Fn(char) -> bool) -> String {
        let mut word = String::new();
        while let Some(&character) = self.rest.peek().filter(|&&character| is_part(character)) {
            word.push(character);
            self.next();
        }
        word
    }
}

impl Term {
    pub(super) fn atom(&self) -> Option<&str> {
        match &self.value {
            Value::Atom(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn describe(&self) -> String {
        format!("found {self}")
    }
}

/// As it would be written, in one line.
impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open, items: &[Self], close| {
            f.write_str(open)?;
            for (index, item) in items.iter().enumerate() {
                write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
            }
            f.write_str(close)
        };
        match &self.value {
            Value::Atom(name) => f.write_str(name),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Tuple(items) => list(f, "{", items, "}"),
            Value::List(items) => list(f, "[", items, "]"),
        }
    }
}
