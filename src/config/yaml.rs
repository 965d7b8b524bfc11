//! YAML to a small tree with places. The only file that knows the YAML library.
//!
//! Strict where other readers guess: a repeated key, a tag, a merge key, a second document are
//! faults. Size, depth and nodes are bounded, the copies of aliases included, so that a file that
//! multiplies itself costs a fault and no memory.

use super::{
    finding::{Findings, Place, Reported},
    raw::{Name, Raw, RawNode},
};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The largest file: ten thousand mappings are half a mebibyte.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// The deepest of our keys is four levels down.
const MAX_DEPTH: usize = 16;
/// Scalars, lists and sections together, copies by alias included. A file of the largest size has
/// no more than this without aliases.
const MAX_NODES: usize = 400_000;

/// Reads a whole file. `None` where it is not YAML; the faults say where and why.
pub(super) fn read(file: &Arc<str>, bytes: &[u8], findings: &mut Findings) -> Option<Raw> {
    let place = |line, column| Place::File {
        file: Arc::clone(file),
        line,
        column,
    };
    if bytes.len() > MAX_BYTES {
        let fault = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        findings.fault(&place(0, 0), fault);
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let before = String::from_utf8_lossy(good);
            let line = before.split('\n').count();
            let last = before.rsplit('\n').next().unwrap_or_default();
            let column = 1 + last.chars().count();
            findings.fault(&place(line, column), "the file is not UTF-8 from here on");
            return None;
        }
    };
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        file,
        anchors: HashMap::new(),
        nodes: 0,
        findings,
    };
    reader.stream().ok()
}

struct Reader<'a, 'f> {
    parser: Parser<'a, StrInput<'a>>,
    file: &'f Arc<str>,
    anchors: HashMap<usize, (Raw, usize)>,
    nodes: usize,
    findings: &'f mut Findings,
}

impl<'a> Reader<'a, '_> {
    fn stream(&mut self) -> Result<Raw, Reported> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            if event == Event::StreamEnd {
                break;
            }
            if matches!(
                event,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing
            ) {
                continue;
            }
            if root.is_some() {
                let fault = "a second document begins; the configuration is one document";
                return self.fault(span.start, fault);
            }
            root = Some(self.node(event, span, 0)?);
        }
        Ok(root.unwrap_or(Raw {
            node: RawNode::Map(Vec::new()),
            place: self.place(Marker::new(0, 1, 0)),
        }))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Raw, Reported> {
        let (from, place) = (self.nodes, self.place(span.start));
        self.count(1, span.start)?;
        if depth > MAX_DEPTH {
            return self.fault(span.start, "the nesting is too deep");
        }
        let (node, anchor) = match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return self.fault(
                    span.start,
                    "tags (`!…`) are not accepted; write the plain value",
                );
            }
            Event::Scalar(text, style, anchor, None) => {
                let null = style == ScalarStyle::Plain
                    && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let node = if null {
                    RawNode::Null
                } else {
                    RawNode::Text(text.into_owned())
                };
                (node, anchor)
            }
            Event::SequenceStart(anchor, None) => (RawNode::List(self.list(depth)?), anchor),
            Event::MappingStart(anchor, None) => (RawNode::Map(self.map(depth)?), anchor),
            Event::Alias(anchor) => {
                let Some((raw, size)) = self.anchors.get(&anchor).cloned() else {
                    return self.fault(
                        span.start,
                        "the alias names something that is not complete here",
                    );
                };
                self.count(size, span.start)?;
                return Ok(raw);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return self.fault(span.start, "a value is missing"),
        };
        let raw = Raw { node, place };
        if anchor > 0 {
            self.anchors
                .insert(anchor, (raw.clone(), self.nodes - from));
            // The kept copy counts as well.
            self.count(self.nodes - from, span.start)?;
        }
        Ok(raw)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Raw>, Reported> {
        let mut list = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(list);
            }
            list.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Name, Raw)>, Reported> {
        let (mut map, mut seen) = (Vec::new(), HashSet::new());
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(map);
            }
            let Event::Scalar(text, style, _, None) = event else {
                return self.fault(span.start, "a key must be a plain text");
            };
            if style == ScalarStyle::Plain && text == "<<" {
                return self.fault(
                    span.start,
                    "merge keys (`<<`) are not accepted; write the keys out",
                );
            }
            let name = Name {
                text: text.into_owned(),
                place: self.place(span.start),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if seen.insert(name.text.clone()) {
                map.push((name, value));
            } else {
                self.findings.fault(
                    &name.place,
                    format!("the key `{}` is in its section twice", shown(&name.text)),
                );
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Reported> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            // The library's texts are constants except for one that shows a character of the file.
            Some(Err(error)) => {
                let info = Some(error.info()).filter(|info| !info.contains('`'));
                let info = info.unwrap_or("a character that is not allowed here");
                self.fault(*error.marker(), &format!("not YAML: {info}"))
            }
            None => self.fault(Marker::new(0, 1, 0), "the file ends too early"),
        }
    }

    fn count(&mut self, more: usize, at: Marker) -> Result<(), Reported> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES {
            self.fault(at, "the file is too large when its aliases are written out")
        } else {
            Ok(())
        }
    }

    fn fault<T>(&mut self, at: Marker, text: &str) -> Result<T, Reported> {
        self.findings.fault(&self.place(at), text);
        Err(Reported)
    }

    fn place(&self, at: Marker) -> Place {
        Place::File {
            file: Arc::clone(self.file),
            line: at.line().max(1),
            column: at.col() + 1,
        }
    }
}

/// A key's name as a fault may show it: bounded, and without control characters.
pub(super) fn shown(name: &str) -> String {
    let short: String = name.chars().take(60).collect();
    short.escape_debug().to_string()
}
