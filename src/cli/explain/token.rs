//! The token of `explain --token-file`: read from a file, so that no command line shows it, and
//! described without being repeated.

use crate::{cli::output::CommandError, idp::TokenForm};
use http::HeaderValue;
use serde_json::{Map, Value, json};
use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};
use zeroize::Zeroizing;

/// What is read at most. It is more than any accepted token, so that a longer one is refused for
/// its length.
const MAX_BYTES: u64 = 256 * 1024;
/// The longest text of a claim that is repeated.
const MAX_CHARS: usize = 200;
/// Claims that decide whether a token is accepted; they are no secret to its holder. Of the others
/// only the names are shown.
const SHOWN: [&str; 10] = [
    "iss",
    "aud",
    "azp",
    "client_id",
    "typ",
    "token_use",
    "scope",
    "iat",
    "nbf",
    "exp",
];

/// A token as the file has it, without `Bearer` and blanks around it.
pub(super) struct TokenFile(Zeroizing<String>);

impl TokenFile {
    /// Reads a file, or standard input where the path is `-`.
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let mut text = Zeroizing::new(String::new());
        let read = if path == Path::new("-") {
            io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text)
        } else {
            File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        };
        read.map_err(|error| {
            CommandError(format!(
                "the token cannot be read from {}: {error}",
                path.display()
            ))
        })?;
        let token = text.trim();
        let token = match token.strip_prefix("Bearer") {
            Some(rest) if rest.is_empty() || rest.starts_with(char::is_whitespace) => {
                rest.trim_start()
            }
            _ => token,
        };
        if token.is_empty() {
            return Err(CommandError(format!("{} holds no token", path.display())));
        }
        Ok(Self(Zeroizing::new(token.to_owned())))
    }

    /// The header that carries it.
    pub(super) fn header(&self) -> Result<HeaderValue, CommandError> {
        let text = Zeroizing::new(format!("Bearer {}", *self.0));
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            CommandError("what was read has characters that no token has".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// What it says about itself, verified or not.
    pub(super) fn says(&self) -> Value {
        match TokenForm::of(&self.0) {
            Ok(TokenForm::Opaque) => json!({ "form": "opaque" }),
            // Why is shown in the answer.
            Ok(TokenForm::Foreign(_) | TokenForm::Broken(_)) | Err(_) => {
                json!({ "form": "unreadable" })
            }
            Ok(TokenForm::Signed(jws)) => {
                let claims = jws.unproven();
                let shown: Map<String, Value> = SHOWN
                    .iter()
                    .filter_map(|name| Some(((*name).to_owned(), bounded(claims.get(*name)?))))
                    .collect();
                let names: Vec<Value> = claims
                    .keys()
                    .take(100)
                    .map(|name| bounded(&json!(name)))
                    .collect();
                let kid = jws.kid().map(|kid| bounded(&json!(kid)));
                json!({ "form": "signed", "kid": kid, "says": shown, "claims": names })
            }
        }
    }
}

/// A value that is short enough to print.
fn bounded(value: &Value) -> Value {
    match value {
        Value::String(text) => text.chars().take(MAX_CHARS).collect::<String>().into(),
        Value::Array(all) => all.iter().take(20).map(bounded).collect(),
        Value::Object(_) => "(an object)".into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn read(text: &[u8]) -> Result<TokenFile, CommandError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        TokenFile::read(file.path())
    }

    #[test]
    fn what_is_around_a_token_is_no_part_of_it() {
        for text in ["abc", "abc\n", " Bearer abc\r\n"] {
            assert_eq!(
                read(text.as_bytes()).ok().unwrap().header().ok().unwrap(),
                "Bearer abc",
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_token_is_not_repeated() {
        for text in [&b""[..], b"\n", b"Bearer \n", b"se\ncret", b"\xffsecret"] {
            let why = read(text)
                .and_then(|token| token.header())
                .map_err(|CommandError(why)| why)
                .unwrap_err();
            assert!(!why.contains("cret"), "{why}");
        }
        assert!(
            TokenFile::read(Path::new("/nowhere/token"))
                .is_err_and(|CommandError(why)| why.contains("/nowhere/token"))
        );
    }
}
