//! The grammar of nginx's configuration: words, quotes, escapes, comments, blocks. What lies in a `…_by_lua_block` is skipped unread.

use std::rc::Rc;

use crate::fault::Fault;

use super::super::number;
use super::known;

/// Blocks within blocks; a site has five.
pub(super) const DEPTH_MAX: usize = 32;
/// Directives of all files together.
pub(super) const DIRECTIVES_MAX: usize = 50_000;

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) origin: Rc<str>,
    pub(super) line: u32,
}

/// One directive, with its block if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
}

impl Directive {
    pub(super) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    pub(super) fn block(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// As it is written, without its block: `proxy_pass http://127.0.0.1:8080`. What could be a secret is not shown.
    pub(super) fn text(&self) -> String {
        const TEXT_MAX: usize = 100;
        let shown = match self.name.as_str() {
            "proxy_set_header" | "set" | "if" => 1,
            name if known::may_hold_secret(name) => 0,
            _ => self.args.len(),
        };
        let mut text = self.name.clone();
        for (index, arg) in self.args.iter().enumerate() {
            text.push(' ');
            text.push_str(match arg.as_str() {
                "" => "\"\"",
                arg if index < shown && !(arg.contains("://") && arg.contains('@')) => arg,
                arg if shown == 1 && arg.starts_with('$') => arg,
                _ => "…",
            });
        }
        if text.chars().count() > TEXT_MAX {
            text = text.chars().take(TEXT_MAX).chain(['…']).collect();
        }
        text
    }
}

/// Reads the directives of one file.
///
/// # Errors
/// The first place where nginx would refuse it.
pub(super) fn parse(text: &str, origin: &Rc<str>, budget: &mut usize) -> Result<Vec<Directive>, Fault> {
    if let Some(before) = text.find('\0').and_then(|index| text.get(..index)) {
        let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
        return Err(Fault::new(&**origin, "", "holds U+0000", "a text").at(number(line), 1));
    }
    let mut parser = Parser { rest: text.trim_start_matches('\u{feff}'), line: 1, origin, budget };
    parser.block(0)
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    origin: &'a Rc<str>,
    budget: &'a mut usize,
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
    Nothing,
}

impl Parser<'_> {
    fn fault(&self, key: &str, found: impl Into<String>, allowed: &str) -> Fault {
        Fault::new(&**self.origin, key, found, allowed).at(number(self.line), 1)
    }

    /// The directives up to the end of the block, or of the file at depth 0.
    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, Fault> {
        let mut directives = Vec::new();
        loop {
            self.skip_blanks();
            let place = Place { origin: Rc::clone(self.origin), line: number(self.line) };
            let name = match self.token()? {
                Token::Word(name) => name,
                Token::Close if depth > 0 => return Ok(directives),
                Token::Nothing if depth == 0 => return Ok(directives),
                Token::Nothing => return Err(self.fault("", "the file ends within a block", "} before its end")),
                Token::Close => return Err(self.fault("", "} closes no block", "as many } as {")),
                Token::Open | Token::End => return Err(self.fault("", "no directive here", "a name before ; or {")),
            };
            if *self.budget == 0 {
                let found = format!("more than {DIRECTIVES_MAX} directives");
                return Err(self.fault(&name, found, "a configuration that somebody has written"));
            }
            *self.budget -= 1;
            directives.push(self.directive(place, name, depth)?);
        }
    }

    fn directive(&mut self, place: Place, name: String, depth: usize) -> Result<Directive, Fault> {
        let mut args = Vec::new();
        loop {
            match self.token()? {
                Token::Word(word) => args.push(word),
                Token::End => return Ok(Directive { place, name, args, block: None }),
                Token::Open if name.ends_with("_by_lua_block") => {
                    self.skip_lua(&name)?;
                    return Ok(Directive { place, name, args, block: None });
                }
                Token::Open if depth == DEPTH_MAX => {
                    return Err(self.fault(&name, format!("more than {DEPTH_MAX} blocks within each other"), "fewer"));
                }
                Token::Open => {
                    let block = Some(self.block(depth + 1)?);
                    return Ok(Directive { place, name, args, block });
                }
                Token::Close => return Err(self.fault(&name, "} before its end", "; behind a directive")),
                Token::Nothing => return Err(self.fault(&name, "the file ends within it", "; or a block")),
            }
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            let trimmed = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            self.advance(self.rest.len() - trimmed.len());
            if !self.rest.starts_with('#') {
                return;
            }
            self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.bytes().filter(|&byte| byte == b'\n').count();
        self.rest = rest;
    }

    fn token(&mut self) -> Result<Token, Fault> {
        self.skip_blanks();
        let Some(first) = self.rest.chars().next() else { return Ok(Token::Nothing) };
        let sign = match first {
            '{' => Token::Open,
            '}' => Token::Close,
            ';' => Token::End,
            '"' | '\'' => return self.quoted(first),
            _ => return self.word(),
        };
        self.advance(1);
        Ok(sign)
    }

    fn word(&mut self) -> Result<Token, Fault> {
        let mut characters = self.rest.char_indices();
        let mut last = ' ';
        let mut end = self.rest.len();
        while let Some((index, character)) = characters.next() {
            match character {
                '\\' => {
                    last = ' ';
                    characters.next();
                    continue;
                }
                ' ' | '\t' | '\r' | '\n' | ';' => {
                    end = index;
                    break;
                }
                '{' if last != '$' => {
                    end = index;
                    break;
                }
                _ => last = character,
            }
        }
        let word = unescaped(&self.rest[..end]);
        self.advance(end);
        Ok(Token::Word(word))
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Fault> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|&(_, character)| {
            let closes = !escaped && character == quote;
            escaped = !escaped && character == '\\';
            closes
        });
        let Some((end, _)) = end else {
            return Err(self.fault("", "the file ends within a quoted text", "the quote that closes it"));
        };
        let word = unescaped(&self.rest[1..end]);
        self.advance(end + 1);
        if !self.rest.starts_with([' ', '\t', '\r', '\n', ';', '{', ')']) {
            return Err(self.fault("", "a quoted text, and no space behind it", "a space, ;, { or )"));
        }
        Ok(Token::Word(word))
    }

    /// Passes over Lua up to the brace that closes the block; strings and comments of Lua may hold others.
    fn skip_lua(&mut self, name: &str) -> Result<(), Fault> {
        let mut depth = 1_usize;
        while let Some(first) = self.rest.chars().next() {
            let length = match first {
                '{' => {
                    depth += 1;
                    1
                }
                '}' => {
                    depth -= 1;
                    1
                }
                '"' | '\'' => lua_string(self.rest, first),
                '-' if self.rest.starts_with("--[") => 2 + lua_long(&self.rest[2..]).unwrap_or(1),
                '-' if self.rest.starts_with("--") => self.rest.find('\n').unwrap_or(self.rest.len()),
                '[' => lua_long(self.rest).unwrap_or(1),
                other => other.len_utf8(),
            };
            self.advance(length);
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.fault(name, "the file ends within it", "} behind the Lua code"))
    }
}

/// Length of a Lua string in quotes; it ends with its line at the latest.
fn lua_string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        if !escaped && (character == quote || character == '\n') {
            return index + 1;
        }
        escaped = !escaped && character == '\\';
    }
    text.len()
}

/// Length of a Lua text in long brackets, `[[…]]` or `[==[…]==]`; `None` if it is none.
fn lua_long(text: &str) -> Option<usize> {
    let level = text[1..].bytes().take_while(|&byte| byte == b'=').count();
    let open = level + 2;
    text.as_bytes().get(level + 1).filter(|&&byte| byte == b'[')?;
    let close = format!("]{}]", "=".repeat(level));
    Some(text.get(open..)?.find(&close).map_or(text.len(), |end| open + end + close.len()))
}

/// A word without its escapes, as nginx takes them off: other backslashes stay, for regular expressions.
fn unescaped(written: &str) -> String {
    let mut word = String::with_capacity(written.len());
    let mut characters = written.chars().peekable();
    while let Some(character) = characters.next() {
        let meant = match (character, characters.peek()) {
            ('\\', Some(&next @ ('"' | '\'' | '\\'))) => Some(next),
            ('\\', Some('t')) => Some('\t'),
            ('\\', Some('r')) => Some('\r'),
            ('\\', Some('n')) => Some('\n'),
            _ => None,
        };
        if meant.is_some() {
            characters.next();
        }
        word.push(meant.unwrap_or(character));
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(directives: &[Directive]) -> String {
        let mut out = String::new();
        for directive in directives {
            out.push_str(&format!("{}:{}", directive.place.line, directive.name));
            for arg in &directive.args {
                out.push_str(&format!("|{arg}"));
            }
            match &directive.block {
                Some(block) => out.push_str(&format!("{{{}}}", shown(block))),
                None => out.push(';'),
            }
        }
        out
    }

    fn read(text: &str) -> String {
        let mut budget = 100;
        match parse(text, &Rc::from("f"), &mut budget) {
            Ok(directives) => shown(&directives),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn words_quotes_escapes_comments_and_blocks() {
        for (text, expected) in [
            ("a;", "1:a;"),
            ("a b  c;# d\n e { f; }", "1:a|b|c;2:e{2:f;}"),
            ("a 'b c' \"d;e\" '';", "1:a|b c|d;e|;"),
            ("a b#c;", "1:a|b#c;"),
            (r#"a "\"q\"" \.php$ 'it\'s' x\ y;"#, "1:a|\"q\"|\\.php$|it's|x\\ y;"),
            ("a ${b}c {d;}", "1:a|${b}c{1:d;}"),
            ("a\n'multi\nline'\n;b;", "1:a|multi\nline;4:b;"),
            ("if ($a = 'x') { b; }", "1:if|($a|=|x|){1:b;}"),
            ("a_by_lua_block { x = { '}' } -- }\n y = [==[ } ]==] } b;", "1:a_by_lua_block;2:b;"),
            ("\u{feff}a;", "1:a;"),
            ("", ""),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_nginx_refuses_is_a_fault_with_its_line() {
        for (text, expected) in [
            ("a", "f:1:1: a: the file ends within it; ; or a block"),
            ("\na {", "f:2:1: the file ends within a block; } before its end"),
            ("}", "f:1:1: } closes no block; as many } as {"),
            (";", "f:1:1: no directive here; a name before ; or {"),
            ("a { b }", "f:1:1: b: } before its end; ; behind a directive"),
            ("a 'b", "f:1:1: the file ends within a quoted text; the quote that closes it"),
            ("a 'b'c;", "f:1:1: a quoted text, and no space behind it; a space, ;, { or )"),
            ("a;\nb 'c\0';", "f:2:1: holds U+0000; a text"),
            ("a;\nb c\\\0;", "f:2:1: holds U+0000; a text"),
            ("x_by_lua_block { {", "f:1:1: x_by_lua_block: the file ends within it; } behind the Lua code"),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
        assert!(read(&"a{".repeat(40)).contains("more than 32 blocks"));
        assert!(read(&"a;".repeat(101)).contains("directives"));
    }
}
