//! JSON objects from untrusted sources: no member twice, no deep nesting. `serde_json` alone keeps
//! the last of two members, and another parser may keep the first.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::{cell::Cell, fmt};

/// Levels of objects and lists. Keycloak's `resource_access.<client>.roles` has four; no provider
/// needs twice as many.
const MAX_DEPTH: u8 = 12;

/// Why bytes are not a JSON object that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    #[error("it is not JSON")]
    Syntax,
    #[error("an object has the same member twice")]
    Duplicate,
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    Deep,
    #[error("it is not an object")]
    NotAnObject,
}

/// Reads one object and nothing behind it.
///
/// # Errors
/// Says which rule is broken, without repeating the bytes.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, InvalidJson> {
    let why = Cell::new(InvalidJson::Syntax);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict {
        left: MAX_DEPTH,
        why: &why,
    }
    .deserialize(&mut reader)
    .and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(InvalidJson::NotAnObject),
        Err(_says_where) => Err(why.get()),
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    left: u8,
    why: &'a Cell<InvalidJson>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| self.refuse(InvalidJson::Deep))?;
        Ok(Self { left, ..self })
    }

    fn refuse<E: serde::de::Error>(self, why: InvalidJson) -> E {
        self.why.set(why);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(self.refuse(InvalidJson::Duplicate));
            }
            object.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_whole() {
        let read = object(br#" {"a":[1,-2,1.5,"x",null,true,{"b":{}}]} "#).unwrap();
        assert_eq!(
            Value::Object(read),
            serde_json::json!({"a": [1, -2, 1.5, "x", null, true, {"b": {}}]})
        );
    }

    #[test]
    fn each_rule_has_its_own_refusal() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(13), "}".repeat(13));
        let bottomless = format!("{}{}", r#"{"a":"#, "[".repeat(50_000));
        for (text, why) in [
            (&b""[..], InvalidJson::Syntax),
            (b"{\"a\":1}x", InvalidJson::Syntax),
            (b"{\"a\":\"\xff\"}", InvalidJson::Syntax),
            (br#"{"a":"\ud800"}"#, InvalidJson::Syntax),
            (br#"{"a":1e999}"#, InvalidJson::Syntax),
            (br#"{"a":NaN}"#, InvalidJson::Syntax),
            (br#"{"a":1,}"#, InvalidJson::Syntax),
            (br#"{"a":1,"a":1}"#, InvalidJson::Duplicate),
            (br#"{"a":1,"\u0061":2}"#, InvalidJson::Duplicate),
            (br#"{"x":{"a":1,"b":2,"a":3}}"#, InvalidJson::Duplicate),
            (deep.as_bytes(), InvalidJson::Deep),
            (bottomless.as_bytes(), InvalidJson::Deep),
            (b"[]", InvalidJson::NotAnObject),
            (b"null", InvalidJson::NotAnObject),
        ] {
            assert_eq!(
                object(text),
                Err(why),
                "{}",
                String::from_utf8_lossy(text.get(..40).unwrap_or(text))
            );
        }
    }
}
