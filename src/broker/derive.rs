//! Credentials are derived, not drawn: the same key, cluster, user and epoch give the same password
//! on every replica and after every restart.

use crate::{
    cluster::NewPassword,
    identity::Identity,
    keys::{CredentialKeys, Pieces},
    model::{Fingerprint, Username},
    roles::RoleSet,
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::HeaderValue;
use std::fmt;
use zeroize::Zeroizing;

/// Upper and lower case, a digit and a symbol: what class-based password rules ask for.
const PREFIX: &str = "Ea1-";

/// Covers everything that a write puts into the user, its password included: both depend on the
/// key, the epoch and the name.
pub(super) fn fingerprint(
    keys: &CredentialKeys,
    identity: &Identity,
    roles: &RoleSet,
    epoch: u64,
) -> Fingerprint {
    let mut pieces = Pieces::with_capacity(256);
    pieces.add(identity.user().as_str().as_bytes());
    pieces.add(&epoch.to_be_bytes());
    for role in roles.iter() {
        pieces.add(role.as_str().as_bytes());
    }
    // A list ends where the next piece is empty: neither a role nor a group ever is.
    pieces.add(b"");
    for group in identity.groups() {
        pieces.add(group.as_str().as_bytes());
    }
    pieces.add(b"");
    pieces.add(identity.email().unwrap_or_default().as_bytes());
    pieces.add(identity.full_name().unwrap_or_default().as_bytes());
    // Two people of one name are two, whatever else they share.
    pieces.add(identity.provider().name().as_bytes());
    pieces.add(identity.subject().unwrap_or_default().as_bytes());
    keys.fingerprint(&pieces)
}

/// 47 printable ASCII characters that carry 256 bits; zeroized when dropped.
pub(super) struct Password(Zeroizing<String>);

impl Password {
    pub(super) fn derive(keys: &CredentialKeys, user: &Username, epoch: u64) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
        text.push_str(PREFIX);
        BASE64_URL_SAFE_NO_PAD.encode_string(*keys.password(user, epoch), &mut text);
        Self(text)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// As it is written. The salt is derived too, so that a repeated write is the same write.
    pub(super) fn to_write(
        &self,
        keys: &CredentialKeys,
        user: &Username,
        epoch: u64,
    ) -> NewPassword {
        NewPassword::new(self.expose(), keys.salt(user, epoch))
    }

    /// The value of `Authorization` for HTTP Basic (RFC 7617), marked sensitive.
    pub(super) fn authorization(&self, user: &Username) -> HeaderValue {
        let mut login = Zeroizing::new(String::with_capacity(
            user.as_str().len() + 1 + self.0.len(),
        ));
        login.push_str(user.as_str());
        login.push(':');
        login.push_str(&self.0);
        let mut text = String::with_capacity(6 + login.len().div_ceil(3) * 4);
        text.push_str("Basic ");
        BASE64_STANDARD.encode_string(login.as_bytes(), &mut text);
        let mut value = HeaderValue::try_from(text)
            .unwrap_or_else(|_| unreachable!("base64 is a legal header value"));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{Keyring, Slot},
        secret::SecretKey,
    };
    use aws_lc_rs::hkdf;

    fn secret(byte: u8) -> SecretKey {
        SecretKey::parse(&format!(
            "{byte:02x}{}",
            "0123456789abcdef".repeat(4).get(2..).unwrap()
        ))
        .unwrap()
    }

    fn ring(byte: u8, cluster: &str) -> Keyring {
        Keyring::new(&secret(byte), None, cluster)
    }

    fn derived(byte: u8, cluster: &str, name: &str, epoch: u64) -> Password {
        let ring = ring(byte, cluster);
        Password::derive(&ring.of(Slot::Current).credentials, &user(name), epoch)
    }

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    #[test]
    fn a_password_is_the_same_wherever_it_is_derived_and_fits_every_rule() {
        let password = derived(7, "default", "alice", 20_000);
        assert_eq!(
            password.expose(),
            derived(7, "default", "alice", 20_000).expose()
        );
        assert_eq!(password.expose().len(), 47);
        assert!(password.expose().bytes().all(|b| b.is_ascii_graphic()));
        assert!(password.expose().starts_with("Ea1-"));
    }

    #[test]
    fn key_cluster_user_and_epoch_each_change_it() {
        let passwords = [
            derived(7, "default", "alice", 1),
            derived(8, "default", "alice", 1),
            derived(7, "other", "alice", 1),
            derived(7, "default", "Alice", 1),
            derived(7, "default", "alice", 2),
        ];
        let different: std::collections::HashSet<&str> =
            passwords.iter().map(Password::expose).collect();
        assert_eq!(different.len(), passwords.len());
    }

    /// The derivation is HKDF by the book: the library's own gives the same bytes.
    #[test]
    fn the_derivation_is_hkdf() {
        let mut info = Vec::new();
        for bytes in [&b"password"[..], b"default", b"alice", &3_u64.to_be_bytes()] {
            info.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
            info.extend_from_slice(bytes);
        }
        let mut expected = [0; 32];
        let info = [info.as_slice()];
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"elastauth/v1").extract(secret(7).expose());
        prk.expand(&info, hkdf::HKDF_SHA256)
            .unwrap()
            .fill(&mut expected)
            .unwrap();
        let password = derived(7, "default", "alice", 3);
        assert_eq!(
            password.expose().strip_prefix(PREFIX),
            Some(BASE64_URL_SAFE_NO_PAD.encode(expected).as_str())
        );
    }

    /// What these bytes are must never change: an upgrade would rewrite every user. What the cluster
    /// makes of this password and this salt has its own vector in
    /// `cluster::security::elasticsearch::password`.
    #[test]
    fn fixed_vectors() {
        use crate::{
            model::Role,
            roles::{self, Mapping},
        };
        let ring = ring(7, "default");
        let keys = &ring.of(Slot::Current).credentials;
        let password = Password::derive(keys, &user("alice"), 20_000);
        let identity = Identity::of_provider_at(
            "sso",
            "alice",
            &["dev", "ops"],
            Some(crate::clock::Timestamp(1_800_000_000_000)),
        );
        let default_roles = vec![
            Role::parse("viewer").unwrap(),
            Role::parse("editor").unwrap(),
        ];
        let entitled = Mapping::new(roles::Config {
            default_roles,
            ..roles::Config::default()
        })
        .entitle(identity)
        .unwrap();
        let fingerprint = fingerprint(keys, entitled.identity(), entitled.roles(), 20_000);
        assert_eq!(
            [
                keys.id.to_string(),
                password.expose().to_owned(),
                BASE64_STANDARD.encode(*keys.salt(&user("alice"), 20_000)),
                fingerprint.to_string(),
            ],
            [
                "I9ebRvBD",
                "Ea1-AVAlKY1AbaSOEIB3gNixmyFCxuunk3_DxMJ4ER-vJNU",
                "ONa/oyOCeuIjnLYAan12OLvHCCP3CezC7MdmYfPuqKs=",
                "1EM3iCPV9ErRn52NLK7fcA",
            ]
        );
    }

    #[test]
    fn nothing_here_shows_a_secret() {
        let ring = ring(7, "default");
        let password = Password::derive(&ring.of(Slot::Current).credentials, &user("alice"), 1);
        let shown = format!(
            "{ring:?} {password:?} {:?}",
            password.authorization(&user("alice"))
        );
        assert!(
            !shown.contains(password.expose()) && !shown.contains("Basic"),
            "{shown}"
        );
    }
}
