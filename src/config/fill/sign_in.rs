//! Where users sign in.

use super::filler::Filler;
use crate::{config::table, serve::LoginUrl};

/// `None` where the value is faulty.
#[expect(
    clippy::option_option,
    reason = "a filler says `None` for a fault, and the key is optional"
)]
pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Option<LoginUrl>> {
    let key = &table::LOGIN_URL;
    let Some(text) = fill.get::<String>(key) else {
        return Some(None);
    };
    match LoginUrl::parse(&text) {
        Ok(url) => Some(Some(url)),
        Err(why) => {
            fill.invalid(key, why);
            None
        }
    }
}
