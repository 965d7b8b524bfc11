//! A name for people, or a mail address, as headers carry it: UTF-8, Latin-1, or the encoded words
//! of RFC 2047. Nothing is decided by these texts, so one that cannot be read refuses nobody.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use std::borrow::Cow;

/// Some mailers leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a header's bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadText<'a> {
    /// UTF-8, as it is.
    Plain(&'a str),
    /// In another form.
    Decoded(String),
    /// In a form that is not known.
    Unreadable,
}

/// Reads it.
pub(super) fn read(bytes: &[u8]) -> ReadText<'_> {
    let decoded = match std::str::from_utf8(bytes) {
        // The usual case, and the cheapest test for it.
        Ok(text) if !bytes.contains(&b'=') => return ReadText::Plain(text),
        Ok(text) => match words(text) {
            None => return ReadText::Plain(text),
            Some(decoded) => decoded,
        },
        Err(_) => Ok(latin1(bytes)),
    };
    match decoded {
        // Control characters are those of another encoding, or of an attack on a terminal.
        Ok(text) if !text.chars().any(char::is_control) => ReadText::Decoded(text),
        Ok(_) | Err(Unknown) => ReadText::Unreadable,
    }
}

/// A character set, an encoding, or bytes that do not fit them.
struct Unknown;

/// A text in which encoded words are decoded; `None` where it has none.
fn words(text: &str) -> Option<Result<String, Unknown>> {
    let (mut out, mut rest, mut found) = (String::new(), text, false);
    while let Some((before, word, after)) = next_word(rest) {
        // White space between two encoded words is no part of the text (RFC 2047 §6.2).
        if !(found && before.trim_ascii().is_empty()) {
            out.push_str(before);
        }
        match word.decoded() {
            Ok(text) => out.push_str(&text),
            Err(unknown) => return Some(Err(unknown)),
        }
        (rest, found) = (after, true);
    }
    out.push_str(rest);
    found.then_some(Ok(out))
}

/// `=?charset?encoding?text?=`.
struct EncodedWord<'a> {
    charset: &'a str,
    encoding: &'a str,
    text: &'a str,
}

/// The first encoded word of a text, with what is before and after it.
fn next_word(text: &str) -> Option<(&str, EncodedWord<'_>, &str)> {
    let (before, rest) = text.split_once("=?")?;
    let (charset, rest) = rest.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (text, after) = rest.split_once("?=")?;
    let is_word = ![charset, encoding, text]
        .iter()
        .any(|part| part.contains(' '));
    let word = EncodedWord {
        charset,
        encoding,
        text,
    };
    is_word.then_some((before, word, after))
}

impl EncodedWord<'_> {
    fn decoded(&self) -> Result<String, Unknown> {
        let bytes: Cow<'_, [u8]> = match self.encoding {
            "B" | "b" => BASE64.decode(self.text).map_err(|_| Unknown)?.into(),
            "Q" | "q" => quoted(self.text)?.into(),
            _ => return Err(Unknown),
        };
        // A language may follow (RFC 2231): `utf-8*en`.
        let charset = self.charset.split('*').next().unwrap_or_default();
        match charset.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" | "us-ascii" => {
                String::from_utf8(bytes.into_owned()).map_err(|_| Unknown)
            }
            "iso-8859-1" | "latin1" => Ok(latin1(&bytes)),
            _ => Err(Unknown),
        }
    }
}

/// `_` is a blank and `=E9` a byte.
fn quoted(text: &str) -> Result<Vec<u8>, Unknown> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'_' => b' ',
            b'=' => {
                let mut digit = || {
                    let digit = char::from(bytes.next()?).to_digit(16)?;
                    u8::try_from(digit).ok()
                };
                let (high, low) = (digit().ok_or(Unknown)?, digit().ok_or(Unknown)?);
                high << 4 | low
            }
            other => other,
        });
    }
    Ok(out)
}

/// Each byte is the character of its number.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> ReadText<'static> {
        ReadText::Decoded(text.to_owned())
    }

    #[test]
    fn utf_8_is_kept_and_other_bytes_are_latin_1() {
        assert_eq!(read("Zo\u{eb}".as_bytes()), ReadText::Plain("Zo\u{eb}"));
        assert_eq!(read(b""), ReadText::Plain(""));
        assert_eq!(read(b"Zo\xeb"), decoded("Zo\u{eb}"));
        // The control characters of Latin-1 are letters elsewhere (Windows-1252).
        assert_eq!(read(b"\x80 Zo\xeb"), ReadText::Unreadable);
    }

    #[test]
    fn encoded_words_are_decoded() {
        for (text, expected) in [
            ("=?utf-8?B?Wm/Dqw==?=", "Zo\u{eb}"),
            ("=?UTF-8?b?Wm/Dqw?=", "Zo\u{eb}"),
            ("=?utf-8?Q?Zo=C3=AB_Doe?=", "Zo\u{eb} Doe"),
            ("=?iso-8859-1?q?Zo=eb?=", "Zo\u{eb}"),
            ("=?utf-8*en?Q?Zoe?= Doe", "Zoe Doe"),
            ("Dr. =?utf-8?Q?Zo=C3=AB?=", "Dr. Zo\u{eb}"),
            ("=?utf-8?Q?Zo=C3=AB?= =?utf-8?Q?_Doe?=", "Zo\u{eb} Doe"),
        ] {
            assert_eq!(read(text.as_bytes()), decoded(expected), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_an_encoded_word_is_kept() {
        for text in ["=?", "a =? b ?= c", "=?utf-8?Q?a b?=", "what=?", "=?a?b?c"] {
            assert_eq!(read(text.as_bytes()), ReadText::Plain(text), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_unreadable() {
        for text in [
            "=?koi8-r?B?8g==?=",
            "=?utf-8?X?abc?=",
            "=?utf-8?B?!!?=",
            "=?utf-8?B?6w==?=",
            "=?utf-8?Q?a=?=",
            "=?utf-8?Q?a=ZZ?=",
            "=?utf-8?Q?a=0Ab?=",
            "=?utf-8?Q?=1B[31m?=",
        ] {
            assert_eq!(read(text.as_bytes()), ReadText::Unreadable, "{text}");
        }
    }
}
