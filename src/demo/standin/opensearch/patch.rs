//! JSON Patch, as far as the security plugin takes it: `add`, `replace` and `remove`, of users or
//! of what is in one.

use super::{super::answer::ApiAnswer, refusals::error};
use serde_json::{Map, Value};

/// One operation on one user.
#[derive(Debug)]
pub(crate) struct Patch {
    pub(super) user: String,
    /// Where in the user; empty for the whole of them.
    within: Vec<String>,
    op: Op,
}

#[derive(Debug)]
enum Op {
    Set(Value),
    Remove,
}

impl Patch {
    /// Reads a list of operations, of this user alone or of all.
    pub(super) fn read(user: Option<&str>, body: &[u8]) -> Result<Vec<Self>, ApiAnswer> {
        let wrong = || error("Could not parse content of request.");
        let list: Vec<Map<String, Value>> = serde_json::from_slice(body).map_err(|_| wrong())?;
        list.into_iter()
            .map(|mut fields| {
                let op = fields.get("op").and_then(Value::as_str);
                let op = match op {
                    Some("add" | "replace") => None,
                    Some("remove") => Some(Op::Remove),
                    _ => return Err(wrong()),
                };
                let path = fields.get("path").and_then(Value::as_str);
                let mut path = path.ok_or_else(wrong)?.split('/');
                if path.next() != Some("") {
                    return Err(wrong());
                }
                let mut segments = path.map(|part| part.replace("~1", "/").replace("~0", "~"));
                let user = match user {
                    Some(user) => user.to_owned(),
                    None => segments.next().ok_or_else(wrong)?,
                };
                let within = segments.collect();
                let op = match op {
                    Some(op) => op,
                    None => Op::Set(fields.remove("value").ok_or_else(wrong)?),
                };
                Ok(Self { user, within, op })
            })
            .collect()
    }

    /// Applies it to the fields of the user; `None` is a user who is not there.
    pub(super) fn apply(
        self,
        fields: Option<Map<String, Value>>,
    ) -> Result<Option<Map<String, Value>>, ApiAnswer> {
        let wrong = || error("Could not parse content of request.");
        let Some((last, parents)) = self.within.split_last() else {
            return match self.op {
                Op::Set(Value::Object(fields)) => Ok(Some(fields)),
                Op::Set(_) => Err(wrong()),
                // Whether they were there or not.
                Op::Remove => Ok(None),
            };
        };
        let mut whole = Value::Object(fields.ok_or_else(wrong)?);
        let mut at = &mut whole;
        for part in parents {
            at = at.get_mut(part).ok_or_else(wrong)?;
        }
        let at = at.as_object_mut().ok_or_else(wrong)?;
        match self.op {
            Op::Set(value) => {
                at.insert(last.clone(), value);
            }
            Op::Remove => {
                at.remove(last).ok_or_else(wrong)?;
            }
        }
        if let Value::Object(fields) = whole {
            Ok(Some(fields))
        } else {
            Err(wrong())
        }
    }
}
