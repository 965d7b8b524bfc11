//! The login of a fresh user, for `check --online`: what no other check can show is that the
//! cluster accepts a login that elastauth has just written. The native realm may be missing in its
//! chain, or something in between may drop the login.

use super::online::{Tried, refusal};
use crate::clock::Clock;
use crate::{
    cluster::{Account, Config, NewPassword, Origin, SecurityApi, Whoami},
    model::Username,
    telemetry::{ClusterTelemetry, chain},
};
use aws_lc_rs::rand;
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::HeaderValue;
use std::io::{self, Write as _};
use zeroize::Zeroizing;

const PREFIX: &str = "elastauth-check-";

/// Whether the user may be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Consent {
    Given,
    /// A person sits at the terminal.
    Ask,
    Missing,
}

/// Writes the user, logs in, and deletes the user, if that is allowed and possible.
/// Of several clusters, `name` says which one this is.
pub(super) async fn run(
    name: Option<&str>,
    config: &Config,
    answered: bool,
    consent: Consent,
) -> Tried {
    let what = || {
        let name = name.map(|name| format!("cluster {name}: "));
        format!("{}login of a fresh user", name.unwrap_or_default())
    };
    let skipped = |why: &str| Tried::skipped(what(), why.to_owned());
    if !answered {
        return skipped("first mend what has failed");
    }
    let cluster = match SecurityApi::new(config, Clock::System, &ClusterTelemetry::default()) {
        Ok(cluster) => cluster,
        Err(error) => return Tried::new(what(), Err(chain(&error))),
    };
    match cluster.may_delete_users().await {
        Err(error) => return Tried::new(what(), Err(refusal(&error))),
        Ok(false) => {
            return skipped(
                "the account may not delete users, which elastauth does not need; the first \
                 login of a real user will show it",
            );
        }
        Ok(true) => {}
    }
    let Some((user, password, salt)) = fresh() else {
        return skipped("the system has no randomness");
    };
    let allowed = match consent {
        Consent::Given => true,
        Consent::Ask => agreed(&user),
        Consent::Missing => false,
    };
    if !allowed {
        return skipped(
            "it would write a user without roles, log in as it and delete it; \
             `--try-login` allows that",
        );
    }
    let found = log_in(&cluster, &user, &password, salt).await;
    let deleted = cluster.delete_user(&user, None).await;
    let found = found.and_then(|()| match deleted {
        Ok(_) => Ok("the cluster accepts a login that was just written".to_owned()),
        Err(error) => Err(format!(
            "the login works, and the user `{}` could not be deleted; delete it: {}",
            user.as_str(),
            refusal(&error)
        )),
    });
    Tried::new(what(), found)
}

async fn log_in(
    cluster: &SecurityApi,
    user: &Username,
    password: &str,
    salt: Zeroizing<[u8; 32]>,
) -> Result<(), String> {
    let account = Account {
        name: user.as_str().to_owned(),
        roles: Vec::new(),
        full_name: None,
        email: None,
        groups: Vec::new(),
        enabled: true,
        origin: Origin::Other,
    };
    let written = cluster
        .write_user(&account, None, &NewPassword::new(password, salt), None)
        .await;
    written.map_err(|error| refusal(&error))?;
    let pair = Zeroizing::new(format!("{}:{password}", user.as_str()));
    let text = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
    let mut login = HeaderValue::from_str(&text).map_err(|error| error.to_string())?;
    login.set_sensitive(true);
    match cluster.authenticate_anywhere(&login).await {
        // It has no marker that a login could show.
        Ok(Whoami::User(_) | Whoami::Unproven) => Ok(()),
        Ok(Whoami::Refused) => Err(
            "the cluster refuses a login that it was just given; is the native realm enabled \
             (`xpack.security.authc.realms.native`), and does nothing between elastauth and the \
             cluster change `Authorization`?"
                .to_owned(),
        ),
        Ok(Whoami::Other) => Err(
            "another realm than the native one answers for a user that was just written; \
             look at the order of the cluster's realms"
                .to_owned(),
        ),
        Err(error) => Err(refusal(&error)),
    }
}

/// A user that nobody has, and a password that nobody knows.
fn fresh() -> Option<(Username, Zeroizing<String>, Zeroizing<[u8; 32]>)> {
    let (mut name, mut secret) = ([0; 6], Zeroizing::new([0; 32]));
    let mut salt = Zeroizing::new([0; 32]);
    for bytes in [&mut name[..], &mut secret[..], &mut salt[..]] {
        rand::fill(bytes).ok()?;
    }
    let name = BASE64_URL_SAFE_NO_PAD.encode(name);
    let user = Username::parse(&format!("{PREFIX}{name}")).ok()?;
    let password = format!("Ea1-{}", BASE64_URL_SAFE_NO_PAD.encode(*secret));
    Some((user, Zeroizing::new(password), salt))
}

fn agreed(user: &Username) -> bool {
    let mut answer = String::new();
    let asked = write!(
        io::stderr(),
        "May `check` write the user `{}` without roles, log in as it, and delete it? [y/N] ",
        user.as_str()
    );
    asked.is_ok()
        && io::stderr().flush().is_ok()
        && io::stdin().read_line(&mut answer).is_ok()
        && answer.trim().eq_ignore_ascii_case("y")
}
