//! Chance, repeatable by its seed, and what it does to texts and JSON.

use crate::model::mixed;
use serde_json::{Value, json};

/// `SplitMix64`: small, and good enough to choose with.
pub(super) struct Draw(pub(super) u64);

impl Draw {
    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// Below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).unwrap()
    }

    pub(super) fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    pub(super) fn chance(&mut self, in_a_hundred: usize) -> bool {
        self.below(100) < in_a_hundred
    }

    /// Bends a text of ASCII a little: some bytes, a piece, or a part between dots.
    pub(super) fn mutate(&mut self, text: &str, other: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len().max(1)).min(bytes.len());
            match self.below(10) {
                0..=2 if at < bytes.len() => bytes[at] = self.token_byte(),
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(7),
                4 if at < bytes.len() => drop(bytes.remove(at)),
                5 => bytes.insert(at, self.token_byte()),
                6 => bytes.truncate(at),
                7 => {
                    let end = (at + self.below(40)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                8 => bytes.extend_from_slice(
                    self.one_of(&["=", "==", ".", "..", "A", "-", ".e30", ".e30.e30"])
                        .as_bytes(),
                ),
                _ => bytes = self.recombined(&bytes, other),
            }
        }
        bytes.retain(u8::is_ascii_graphic);
        String::from_utf8(bytes).unwrap()
    }

    /// Parts of two tokens in one.
    fn recombined(&mut self, bytes: &[u8], other: &str) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut parts: Vec<&str> = text.split('.').collect();
        let others: Vec<&str> = other.split('.').collect();
        let at = self.below(parts.len());
        match self.below(3) {
            0 => parts[at] = others[self.below(others.len())],
            1 => parts[at] = "",
            _ => parts.reverse(),
        }
        parts.join(".").into_bytes()
    }

    fn token_byte(&mut self) -> u8 {
        let all = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=";
        all[self.below(all.len())]
    }

    /// Changes one to three things somewhere in an object.
    pub(super) fn change(&mut self, object: &mut Value, names: &[&'static str], values: &[Value]) {
        for _ in 0..=self.below(3) {
            let mut place = &mut *object;
            while self.chance(20) {
                let count = place.as_object().map_or(0, serde_json::Map::len);
                let deeper = (count > 0).then(|| self.below(count));
                match (deeper, place) {
                    (Some(at), Value::Object(members)) => {
                        place = members.iter_mut().nth(at).unwrap().1;
                    }
                    (_, same) => {
                        place = same;
                        break;
                    }
                }
            }
            let value = self.value(values, 0);
            let name = *names.get(self.below(names.len())).unwrap();
            match place {
                Value::Object(members) if self.chance(30) => drop(members.remove(name)),
                Value::Object(members) => drop(members.insert(name.to_owned(), value)),
                Value::Array(items) if self.chance(50) => items.push(value),
                other => *other = value,
            }
        }
        if !object.is_object() {
            *object = json!({});
        }
    }

    /// Something that a member could hold and should not, or should.
    pub(super) fn value(&mut self, known: &[Value], depth: usize) -> Value {
        match self.below(16) {
            0 => Value::Null,
            1 => self.chance(50).into(),
            2 => json!([0_i64, -1, 1, i64::MIN][self.below(4)]),
            3 => json!([u64::MAX, 253_402_300_799, 253_402_300_800, self.number()][self.below(4)]),
            4 => json!([0.5, 1e300, -1e-300, 1_800_000_100.5][self.below(4)]),
            5 => self
                .one_of(&[
                    "",
                    " ",
                    "\u{0}",
                    "elastic",
                    "_x",
                    "..",
                    "a:b",
                    "a,b",
                    "\u{202e}",
                    "ﬀ",
                    "A",
                    "\u{1f600}",
                ])
                .into(),
            6 => "x"
                .repeat([254, 255, 256, 507, 508, 5_000][self.below(6)])
                .into(),
            7 | 8 if depth < 14 => (0..self.below(4))
                .map(|_| self.value(known, depth + 1))
                .collect(),
            9 if depth < 14 => {
                json!({"name": self.value(known, depth + 1), "roles": self.value(known, depth + 1)})
            }
            10 => (0..self.below(30)).fold(json!([]), |inner, _| json!([inner])),
            _ => known[self.below(known.len())].clone(),
        }
    }
}
