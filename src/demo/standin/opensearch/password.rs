//! What is checked of a password in clear. A hash is not checked at all.

use super::super::answer::ApiAnswer;
use http::StatusCode;
use serde_json::json;

/// The real measure is an estimate of guesses; four kinds of characters or a great length stand
/// for it here.
pub(super) fn check(name: &str, password: &str) -> Result<(), ApiAnswer> {
    let weak = |reason: &str| {
        let body = json!({ "status": "error", "reason": reason });
        Err(ApiAnswer::json(StatusCode::BAD_REQUEST, &body))
    };
    let has = |kind: fn(&char) -> bool| usize::from(password.chars().any(|c| kind(&c)));
    let kinds = has(char::is_ascii_lowercase)
        + has(char::is_ascii_uppercase)
        + has(char::is_ascii_digit)
        + has(char::is_ascii_punctuation);
    if password.is_empty() {
        return weak("Password is too short");
    }
    if password.chars().count() > 100 {
        return weak("Password is too long");
    }
    if password.to_lowercase().contains(&name.to_lowercase()) {
        return weak("Password is similar to user name");
    }
    if password.len() < 8 || (kinds < 3 && password.len() < 20) {
        return weak("Weak password");
    }
    Ok(())
}
