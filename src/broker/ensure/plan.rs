//! What an update would find and do, for `explain`.

use super::{
    look::Look,
    types::{LoginResult, Plan, Reason},
};
use crate::broker::{derive::Password, document::Document, error::BrokerError};

/// Takes the same looks as an update, and writes nothing.
pub(super) async fn plan(
    look: &Look,
    document: &Document,
    password: &Password,
) -> Result<Plan, BrokerError> {
    let login_works = match look.log_in(document, password).await? {
        LoginResult::Agrees(found) => {
            let differs = !document.describes(&found.account);
            return Ok(Plan {
                found: Some(*found),
                write: Ok(differs.then_some(Reason::Described)),
            });
        }
        LoginResult::Differs => true,
        LoginResult::Refused => false,
    };
    let (found, verdict) = look.read(document, login_works).await?;
    let agrees = !login_works
        && verdict.is_ok()
        && look
            .agrees_elsewhere(document, password, found.as_ref())
            .await?;
    Ok(Plan {
        found,
        write: verdict.map(|reason| (!agrees).then_some(reason)),
    })
}
