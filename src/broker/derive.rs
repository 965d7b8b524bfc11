//! Credentials are derived, not drawn: the same key, cluster, user and epoch give the same password
//! on every replica and after every restart.

use super::rotation::KeySlot;
use crate::{
    identity::Identity,
    model::{Fingerprint, Username},
    roles::RoleSet,
    secret::SecretKey,
};
use aws_lc_rs::{
    hmac::{self, HMAC_SHA256},
    pbkdf2,
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::HeaderValue;
use std::{fmt, num::NonZeroU32};
use zeroize::Zeroizing;

/// The extraction salt of HKDF (RFC 5869); a new scheme would take a new label.
const LABEL: &[u8] = b"elastauth/v1";
/// Upper and lower case, a digit and a symbol: what class-based password rules ask for.
const PREFIX: &str = "Ea1-";
/// A slow hash protects passwords that can be guessed; 256 bits cannot. The smallest count that
/// Elasticsearch takes.
const ROUNDS: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");

/// The present key, and the one before it for as long as some users stand under that.
#[derive(Debug)]
pub(super) struct Derivers {
    current: Deriver,
    previous: Option<Deriver>,
}

impl Derivers {
    pub(super) fn new(current: &SecretKey, previous: Option<&SecretKey>, cluster: &str) -> Self {
        Self {
            current: Deriver::new(current, cluster),
            previous: previous.map(|key| Deriver::new(key, cluster)),
        }
    }

    /// The deriver of a key. Without a previous key there is only the present one, and
    /// [`super::rotation`] names no other.
    pub(super) fn of(&self, slot: KeySlot) -> &Deriver {
        match (slot, &self.previous) {
            (KeySlot::Previous, Some(previous)) => previous,
            (KeySlot::Previous, None) | (KeySlot::Current, _) => &self.current,
        }
    }

    /// Whether a user that stands under the key of this id was written by this deployment: under
    /// its present key or the one before.
    pub(super) fn know(&self, key_id: &str) -> bool {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .any(|deriver| deriver.key_id() == key_id)
    }
}

/// Makes passwords and fingerprints of one cluster.
pub(super) struct Deriver {
    /// The pseudo-random key of HKDF, ready for use: its inner and outer state are computed once.
    prk: hmac::Key,
    fingerprints: hmac::Key,
    cluster: Box<str>,
    key_id: Box<str>,
}

impl Deriver {
    pub(super) fn new(key: &SecretKey, cluster: &str) -> Self {
        let prk = hmac::Key::new(
            HMAC_SHA256,
            hmac::sign(&hmac::Key::new(HMAC_SHA256, LABEL), key.expose()).as_ref(),
        );
        let fingerprints = hmac::Key::new(
            HMAC_SHA256,
            &*expand(&prk, &[b"fingerprint", cluster.as_bytes()]),
        );
        // 48 bits tell the keys of one deployment apart, and say nothing about any of them.
        let key_id = BASE64_URL_SAFE_NO_PAD
            .encode(expand(&prk, &[b"key id"]).split_at(6).0)
            .into_boxed_str();
        Self {
            prk,
            fingerprints,
            cluster: cluster.into(),
            key_id,
        }
    }

    /// Which key this is, for whoever has seen it before. Not a secret.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The password of this user in this epoch: 47 printable ASCII characters that carry 256 bits.
    pub(super) fn password(&self, user: &Username, epoch: u64) -> Password {
        let secret = expand(
            &self.prk,
            &[
                b"password",
                self.cluster.as_bytes(),
                user.as_str().as_bytes(),
                &epoch.to_be_bytes(),
            ],
        );
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
        text.push_str(PREFIX);
        BASE64_URL_SAFE_NO_PAD.encode_string(*secret, &mut text);
        Password(text)
    }

    /// `password` as the cluster may store it, still to be worked out. The salt is derived too, so
    /// that a repeated write is the same write.
    pub(super) fn hash(&self, user: &Username, epoch: u64, password: &Password) -> Hash {
        let salt = expand(
            &self.prk,
            &[
                b"salt",
                self.cluster.as_bytes(),
                user.as_str().as_bytes(),
                &epoch.to_be_bytes(),
            ],
        );
        Hash {
            salt,
            password: password.0.clone(),
        }
    }

    /// Covers everything that a write puts into the user, its password included: both depend on the
    /// key, the epoch and the name.
    pub(super) fn fingerprint(
        &self,
        identity: &Identity,
        roles: &RoleSet,
        epoch: u64,
    ) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.fingerprints);
        let mut buffer = Vec::with_capacity(256);
        piece(&mut buffer, identity.user().as_str().as_bytes());
        piece(&mut buffer, &epoch.to_be_bytes());
        for role in roles.iter() {
            piece(&mut buffer, role.as_str().as_bytes());
        }
        // A list ends where the next piece is empty: neither a role nor a group ever is.
        piece(&mut buffer, b"");
        for group in identity.groups() {
            piece(&mut buffer, group.as_str().as_bytes());
        }
        piece(&mut buffer, b"");
        piece(&mut buffer, identity.email().unwrap_or_default().as_bytes());
        piece(
            &mut buffer,
            identity.full_name().unwrap_or_default().as_bytes(),
        );
        // Two people of one name are two, whatever else they share.
        piece(&mut buffer, identity.provider().name().as_bytes());
        piece(
            &mut buffer,
            identity.subject().unwrap_or_default().as_bytes(),
        );
        context.update(&buffer);
        let tag = context.sign();
        let mut short = [0; 16];
        short
            .iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        Fingerprint(short)
    }
}

impl fmt::Debug for Deriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deriver")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// HKDF-Expand for one block, which is all that 32 bytes need: `HMAC(prk, info || 1)`.
fn expand(prk: &hmac::Key, pieces: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut info = Vec::with_capacity(128);
    for bytes in pieces {
        piece(&mut info, bytes);
    }
    info.push(1);
    let mut out = Zeroizing::new([0; 32]);
    out.iter_mut()
        .zip(hmac::sign(prk, &info).as_ref())
        .for_each(|(to, from)| *to = *from);
    out
}

/// Each piece with its length before it, so that no two lists of pieces read the same.
fn piece(buffer: &mut Vec<u8>, bytes: &[u8]) {
    // Names and headers are far below 4 GiB.
    buffer.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    buffer.extend_from_slice(bytes);
}

/// A derived password; zeroized when dropped.
pub(super) struct Password(Zeroizing<String>);

impl Password {
    pub(super) fn expose(&self) -> &str {
        &self.0
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

/// A hash that nobody has worked out yet, apart from the keys: any thread may do it.
pub(super) struct Hash {
    salt: Zeroizing<[u8; 32]>,
    password: Zeroizing<String>,
}

impl Hash {
    /// `{PBKDF2}1000$salt$hash`, HMAC-SHA512, 32 bytes each. Takes a third of a millisecond and
    /// more.
    pub(super) fn worked_out(&self) -> Zeroizing<String> {
        let mut key = Zeroizing::new([0_u8; 32]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA512,
            ROUNDS,
            &*self.salt,
            self.password.as_bytes(),
            &mut *key,
        );
        Zeroizing::new(format!(
            "{{PBKDF2}}{ROUNDS}${}${}",
            BASE64_STANDARD.encode(*self.salt),
            BASE64_STANDARD.encode(*key)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::hkdf;

    fn key(byte: u8) -> SecretKey {
        SecretKey::parse(&format!(
            "{byte:02x}{}",
            "0123456789abcdef".repeat(4).get(2..).unwrap()
        ))
        .unwrap()
    }

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    #[test]
    fn a_password_is_the_same_wherever_it_is_derived_and_fits_every_rule() {
        let password = Deriver::new(&key(7), "default").password(&user("alice"), 20_000);
        assert_eq!(
            password.expose(),
            Deriver::new(&key(7), "default")
                .password(&user("alice"), 20_000)
                .expose()
        );
        assert_eq!(password.expose().len(), 47);
        assert!(password.expose().bytes().all(|b| b.is_ascii_graphic()));
        assert!(password.expose().starts_with("Ea1-"));
    }

    #[test]
    fn key_cluster_user_and_epoch_each_change_it() {
        let passwords = [
            Deriver::new(&key(7), "default").password(&user("alice"), 1),
            Deriver::new(&key(8), "default").password(&user("alice"), 1),
            Deriver::new(&key(7), "other").password(&user("alice"), 1),
            Deriver::new(&key(7), "default").password(&user("Alice"), 1),
            Deriver::new(&key(7), "default").password(&user("alice"), 2),
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
            piece(&mut info, bytes);
        }
        let mut expected = [0; 32];
        let info = [info.as_slice()];
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, LABEL).extract(key(7).expose());
        prk.expand(&info, hkdf::HKDF_SHA256)
            .unwrap()
            .fill(&mut expected)
            .unwrap();
        let password = Deriver::new(&key(7), "default").password(&user("alice"), 3);
        assert_eq!(
            password.expose().strip_prefix(PREFIX),
            Some(BASE64_URL_SAFE_NO_PAD.encode(expected).as_str())
        );
    }

    #[test]
    fn the_hash_is_of_the_form_that_the_cluster_takes_and_always_the_same() {
        let deriver = Deriver::new(&key(7), "default");
        let password = deriver.password(&user("alice"), 1);
        let hash = deriver.hash(&user("alice"), 1, &password).worked_out();
        assert_eq!(
            *hash,
            *deriver.hash(&user("alice"), 1, &password).worked_out()
        );
        let parts: Vec<&str> = hash.split('$').collect();
        let [head, salt, key] = parts.as_slice() else {
            panic!("three parts")
        };
        assert_eq!(*head, "{PBKDF2}1000");
        let (salt, key) = (
            BASE64_STANDARD.decode(salt).unwrap(),
            BASE64_STANDARD.decode(key).unwrap(),
        );
        assert_eq!((salt.len(), key.len()), (32, 32));
        assert!(
            pbkdf2::verify(
                pbkdf2::PBKDF2_HMAC_SHA512,
                ROUNDS,
                &salt,
                password.expose().as_bytes(),
                &key
            )
            .is_ok()
        );
    }

    /// What these bytes are must never change: an upgrade would rewrite every user.
    #[test]
    fn fixed_vectors() {
        use crate::{
            model::Role,
            roles::{self, Mapping},
        };
        let deriver = Deriver::new(&key(7), "default");
        let password = deriver.password(&user("alice"), 20_000);
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
        let fingerprint = deriver.fingerprint(entitled.identity(), entitled.roles(), 20_000);
        assert_eq!(
            [
                deriver.key_id().to_owned(),
                password.expose().to_owned(),
                deriver
                    .hash(&user("alice"), 20_000, &password)
                    .worked_out()
                    .to_string(),
                fingerprint.to_string(),
            ],
            [
                "I9ebRvBD",
                "Ea1-AVAlKY1AbaSOEIB3gNixmyFCxuunk3_DxMJ4ER-vJNU",
                "{PBKDF2}1000$ONa/oyOCeuIjnLYAan12OLvHCCP3CezC7MdmYfPuqKs=\
                 $LPaDv2TAqQ0FK4vnBn8MIykLmIvlIgtIqeWuNfrC2j4=",
                "1EM3iCPV9ErRn52NLK7fcA",
            ]
        );
    }

    #[test]
    fn nothing_here_shows_a_secret() {
        let deriver = Deriver::new(&key(7), "default");
        let password = deriver.password(&user("alice"), 1);
        let shown = format!(
            "{deriver:?} {password:?} {:?}",
            password.authorization(&user("alice"))
        );
        assert!(
            !shown.contains(password.expose()) && !shown.contains("Basic"),
            "{shown}"
        );
    }
}
