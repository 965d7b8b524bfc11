//! What is kept of a configuration to compare a later one with it needs no secrets: their digests
//! do. The values themselves are held once, by those who use them.

use super::{raw::RawNode, section, settings::Settings, table, value_type::ValueType};
use aws_lc_rs::digest::{self, SHA256};
use std::fmt::Write as _;
use zeroize::Zeroize as _;

/// Puts digests instead of the texts of secrets.
pub(super) fn forget_secrets(settings: &mut Settings) {
    for key in table::ALL {
        // The sections have values of their own below.
        let is_list = matches!(key.value_type, ValueType::Sections(_));
        let holds_secrets = key.value_type.is_secret() || is_list;
        if holds_secrets && let Some(found) = settings.values.get_mut(key.path) {
            forget(&mut found.raw.node);
        }
    }
    for (of, sections) in &mut settings.lists {
        for own in sections {
            for (_, key) in section::keys(*of).filter(|(_, key)| key.value_type.is_secret()) {
                if let Some(found) = own.values.get_mut(key.path) {
                    forget(&mut found.raw.node);
                }
            }
        }
    }
}

fn forget(node: &mut RawNode) {
    match node {
        RawNode::Text(text) => {
            let digest = digest::digest(&SHA256, text.as_bytes());
            text.zeroize();
            for byte in digest.as_ref() {
                let _infallible = write!(text, "{byte:02x}");
            }
        }
        RawNode::List(items) => items.iter_mut().for_each(|item| forget(&mut item.node)),
        RawNode::Map(entries) => {
            let values = entries.iter_mut().map(|(_, raw)| &mut raw.node);
            values.for_each(forget);
        }
        RawNode::Null | RawNode::Invalid => {}
    }
}
