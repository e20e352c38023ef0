//! An XML text as a tree of elements that know their line: no attributes, no namespaces, no document type and so no entities of its own.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use crate::fault::Fault;

use super::super::number;

/// The deepest nesting that is read; a `credentials.xml` needs 6.
const DEPTH_MAX: usize = 32;

/// An element, and where it begins.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) name: String,
    /// All its text, without that of its children.
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// Reads the one element that a text is.
///
/// # Errors
/// The first place where it is none.
pub(super) fn read(text: &str, origin: &str) -> Result<Element, Fault> {
    let mut reader = Reader::from_str(text);
    let mut at = Place::default();
    // The first holds what stands at the top.
    let mut open = vec![Element::default()];
    loop {
        let (line, column) = at.of(text, reader.buffer_position());
        let fault = |found: String, allowed: &str| Fault::new(origin, "", found, allowed).at(line, column);
        let event = reader.read_event().map_err(|error| fault(format!("no XML: {error}"), "well-formed XML"))?;
        let depth = open.len();
        let current = open.last_mut().expect("only elements that were opened are closed");
        match event {
            Event::Start(_) if depth > DEPTH_MAX => {
                return Err(fault("an element".to_owned(), "elements that are not nested so deeply"));
            }
            Event::Start(tag) => {
                let name = String::from_utf8_lossy(tag.name().as_ref().as_ref()).into_owned();
                open.push(Element { line, column, name, ..Element::default() });
            }
            Event::Empty(tag) => {
                let name = String::from_utf8_lossy(tag.name().as_ref().as_ref()).into_owned();
                current.children.push(Element { line, column, name, ..Element::default() });
            }
            Event::End(_) => {
                let closed = open.pop().expect("just looked at");
                match open.last_mut() {
                    Some(parent) => parent.children.push(closed),
                    None => return Err(fault("the end of nothing".to_owned(), "well-formed XML")),
                }
            }
            Event::Text(text) => current.text.push_str(&text.xml10_content()),
            Event::CData(text) => current.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let name = reference.xml10_content();
                let character = reference.resolve_char_ref().ok().flatten();
                match (character, resolve_xml_entity(&name)) {
                    (Some(character), _) => current.text.push(character),
                    (None, Some(text)) => current.text.push_str(text),
                    (None, None) => {
                        return Err(fault(
                            format!("found &{name};"),
                            "&lt; &gt; &amp; &apos; &quot; or a character's number",
                        ));
                    }
                }
            }
            Event::DocType(_) => return Err(fault("a document type".to_owned(), "XML without one")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => {
                let is_whole = open.len() == 1;
                let mut top = open.swap_remove(0);
                return match (is_whole, top.children.pop()) {
                    (true, Some(root)) if top.children.is_empty() && top.text.trim().is_empty() => Ok(root),
                    _ => Err(fault("the text ends".to_owned(), "one element, closed, and nothing beside it")),
                };
            }
        }
    }
}

/// A byte of a text, with its line and column; it only moves on, so that a text is counted once.
#[derive(Default)]
struct Place {
    byte: usize,
    line_breaks: usize,
    /// Characters since the last of them.
    characters: usize,
}

impl Place {
    /// The line and column of a byte that is not before those asked for already, both from 1.
    fn of(&mut self, text: &str, byte: u64) -> (u32, u32) {
        let mut byte = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.byte, text.len());
        while !text.is_char_boundary(byte) {
            byte += 1;
        }
        let passed = &text[self.byte..byte];
        self.byte = byte;
        match passed.rfind('\n') {
            Some(at) => {
                self.line_breaks += passed.matches('\n').count();
                self.characters = passed[at + 1..].chars().count();
            }
            None => self.characters += passed.chars().count(),
        }
        (number(self.line_breaks + 1), number(self.characters + 1))
    }
}
