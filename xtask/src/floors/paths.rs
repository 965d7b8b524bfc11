//! Which modules a source file names: a lexer that knows just enough of Rust to skip what is not
//! code.

/// The top-level modules named in `source`, each with its line; `module` is the path of the file
/// itself.
///
/// Found are `crate::x`, `crate::{x, y::z}` and `super::…` as far as it climbs to the root.
pub(crate) fn named_modules(module: &[String], source: &str) -> Vec<(usize, String)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    // Inline modules that are open, as the brace depth outside of them.
    let (mut depth, mut inline) = (0_usize, Vec::new());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let rest = tokens.get(at + 1..).unwrap_or_default();
        match token.text {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.retain(|outside| *outside < depth);
            }
            "mod" if rest.get(1).is_some_and(|next| next.text == "{") => inline.push(depth),
            "crate" => found.extend(after_root(rest)),
            "super" if !follows_super(&tokens, at) => {
                let climbs = 1 + rest
                    .chunks(2)
                    .take_while(|pair| matches!(pair, [colons, word] if colons.text == "::" && word.text == "super"))
                    .count();
                if climbs == module.len() + inline.len() {
                    found.extend(after_root(rest.get(2 * (climbs - 1)..).unwrap_or_default()));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The `mod x;` lines of a file.
pub(crate) fn declared_modules(source: &str) -> Vec<(usize, String)> {
    let tokens = tokens(source);
    let pairs = tokens.windows(2).filter_map(|pair| {
        if let [word, name] = pair {
            (word.text == "mod").then_some(name)
        } else {
            None
        }
    });
    pairs
        .map(|name| (name.line, name.text.to_owned()))
        .collect()
}

/// The names that follow the root of the crate: one, or those of a group.
fn after_root(rest: &[Token<'_>]) -> Vec<(usize, String)> {
    let [colons, first, group @ ..] = rest else {
        return Vec::new();
    };
    if colons.text != "::" {
        return Vec::new(); // `pub(crate)`
    }
    if first.text != "{" {
        return vec![(first.line, first.text.to_owned())];
    }
    let (mut depth, mut begins, mut names) = (1, true, Vec::new());
    for token in group {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => begins = true,
            name if begins => {
                names.push((token.line, name.to_owned()));
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn follows_super(tokens: &[Token<'_>], at: usize) -> bool {
    at >= 2
        && tokens
            .get(at - 2)
            .is_some_and(|token| token.text == "super")
        && tokens.get(at - 1).is_some_and(|token| token.text == "::")
}

#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// Words, `::` and single signs; comments, strings, characters and lifetimes are left out.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut rest, mut line) = (Vec::new(), source, 1);
    while let Some(sign) = rest.chars().next() {
        let word = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let skipped = skipped(rest, word);
        let length = skipped.unwrap_or(if word > 0 {
            word
        } else if rest.starts_with("::") {
            2
        } else {
            sign.len_utf8()
        });
        let (text, tail) = rest.split_at(length);
        if skipped.is_none() && !sign.is_whitespace() {
            tokens.push(Token { line, text });
        }
        line += text.matches('\n').count();
        rest = tail;
    }
    tokens
}

/// How long the comment, string, character or lifetime is that begins here, if one does; `word` is
/// the length of a word before it.
fn skipped(rest: &str, word: usize) -> Option<usize> {
    let (prefix, after) = rest.split_at(word);
    match prefix {
        "" if rest.starts_with("//") => Some(rest.find('\n').unwrap_or(rest.len())),
        "" if rest.starts_with("/*") => Some(block_comment(rest)),
        "" | "b" | "c" if after.starts_with('"') => Some(word + quoted(after, '"')),
        "r" | "br" | "cr" if after.starts_with(['"', '#']) => {
            raw_string(after).map(|length| word + length)
        }
        "" | "b" if after.starts_with('\'') => Some(word + character_or_lifetime(after)),
        _ => None,
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `None` for a raw identifier such as `r#type`.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(
        body.find(&end)
            .map_or(rest.len(), |at| hashes + 1 + at + end.len()),
    )
}

fn character_or_lifetime(rest: &str) -> usize {
    let mut after = rest.chars().skip(1);
    match (after.next(), after.next()) {
        (Some('\\'), _) => quoted(rest, '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 1, // a lifetime: its word is harmless
    }
}
