//! Keys, signatures and key sets, without anybody to ask.

use super::*;
use serde_json::{Value, json};

#[test]
fn every_kind_of_key_verifies_its_own_signature_and_no_other() {
    for alg in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    ] {
        let signer = Signer::new("k", alg);
        let key = PublicKey::parse(&signer.jwk(), Algorithm::Rs256).unwrap();
        assert_eq!(Some(key.algorithm()), Algorithm::parse(alg));
        let signature = signer.sign(b"message");
        assert!(key.verifies(b"message", &signature), "{alg}");
        assert!(!key.verifies(b"massage", &signature), "{alg}");
        let mut flipped = signature.clone();
        flipped[0] ^= 1;
        let (longer, shorter) = (
            [&signature[..], &[0]].concat(),
            &signature[..signature.len() - 1],
        );
        for invalid in [
            &flipped[..],
            &longer,
            shorter,
            &[&[0], &signature[..]].concat(),
            &vec![0; signature.len()],
            &vec![255; signature.len()],
            &[],
        ] {
            assert!(
                !key.verifies(b"message", invalid),
                "{alg} {}",
                invalid.len()
            );
        }
    }
}

#[test]
fn ecdsa_values_out_of_range_are_refused() {
    let signer = Signer::new("k", "ES256");
    let key = PublicKey::parse(&signer.jwk(), Algorithm::Rs256).unwrap();
    let good = signer.sign(b"m");
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let one = [&[0; 31][..], &[1]].concat();
    let mut above = order;
    above[31] += 1;
    for (r, s) in [
        (&[0; 32][..], &good[32..]),
        (&good[..32], &[0; 32]),
        (&order, &good[32..]),
        (&good[..32], &order),
        (&one, &one),
        (&order, &order),
        (&above, &above),
        (&[0; 32], &order),
        (&[0xff; 32], &[0xff; 32]),
    ] {
        assert!(!key.verifies(b"m", &[r, s].concat()));
    }
    // A signature in DER is another encoding, and longer.
    let der = [
        &[0x30, 0x44, 0x02, 0x20][..],
        &good[..32],
        &[0x02, 0x20],
        &good[32..],
    ]
    .concat();
    assert!(!key.verifies(b"m", &der));
}

#[test]
fn an_unusable_key_is_skipped_for_its_own_reason() {
    let (rsa, ec, ed) = (
        Signer::new("r", "RS256").jwk(),
        Signer::new("e", "ES256").jwk(),
        Signer::new("o", "EdDSA").jwk(),
    );
    let with = |key: &Value, member: &str, value: Value| {
        let mut key = key.clone();
        key[member] = value;
        key
    };
    let n = |bytes: usize| json!(signer::b64([&[0xc1][..], &vec![1; bytes - 1]].concat()));
    for (key, why) in [
        (json!("text"), UnusableKey::Shape),
        (with(&rsa, "kid", json!(7)), UnusableKey::Shape),
        (
            with(&rsa, "kid", json!("x".repeat(257))),
            UnusableKey::Shape,
        ),
        (with(&rsa, "kty", Value::Null), UnusableKey::Shape),
        (
            with(&rsa, "use", json!("enc")),
            UnusableKey::NotForSignatures,
        ),
        (
            with(&rsa, "key_ops", json!(["encrypt"])),
            UnusableKey::NotForSignatures,
        ),
        (with(&rsa, "alg", json!("RSA-OAEP")), UnusableKey::Algorithm),
        (with(&rsa, "alg", json!("HS256")), UnusableKey::Algorithm),
        (with(&rsa, "alg", json!("none")), UnusableKey::Algorithm),
        (with(&rsa, "alg", json!("ES256")), UnusableKey::Algorithm),
        (with(&ec, "alg", json!("ES384")), UnusableKey::Algorithm),
        (with(&ec, "alg", json!("RS256")), UnusableKey::Algorithm),
        (with(&rsa, "kty", json!("oct")), UnusableKey::Kind),
        (with(&ec, "crv", json!("secp256k1")), UnusableKey::Kind),
        (with(&ed, "crv", json!("Ed448")), UnusableKey::Kind),
        (with(&ed, "crv", json!("X25519")), UnusableKey::Kind),
        (with(&rsa, "d", json!("AQAB")), UnusableKey::NotPublic),
        (with(&rsa, "k", json!("AQAB")), UnusableKey::NotPublic),
        (with(&rsa, "n", n(128)), UnusableKey::Numbers),
        (with(&rsa, "n", n(255)), UnusableKey::Numbers),
        (with(&rsa, "n", n(1025)), UnusableKey::Numbers),
        (with(&rsa, "n", json!("AQAB=")), UnusableKey::Numbers),
        (with(&rsa, "e", json!("AA")), UnusableKey::Numbers),
        (with(&ec, "y", ec["x"].clone()), UnusableKey::Numbers),
        (with(&ec, "x", json!("AQAB")), UnusableKey::Numbers),
        (with(&ed, "x", json!("AQAB")), UnusableKey::Numbers),
    ] {
        assert_eq!(
            PublicKey::parse(&key, Algorithm::Rs256).err(),
            Some(why),
            "{key}"
        );
        let set = json!({"keys": [key, ec]}).to_string();
        assert_eq!(
            KeySet::parse(set.as_bytes(), Algorithm::Rs256)
                .unwrap()
                .count(),
            1,
            "the one beside it counts"
        );
    }
}

#[test]
fn an_rsa_key_that_names_no_algorithm_has_the_configured_one_and_no_other() {
    let mut jwk = Signer::new("r", "RS256").jwk();
    jwk["alg"] = Value::Null;
    assert_eq!(
        PublicKey::parse(&jwk, Algorithm::Rs256)
            .unwrap()
            .algorithm(),
        Algorithm::Rs256
    );
    assert_eq!(
        PublicKey::parse(&jwk, Algorithm::Ps256)
            .unwrap()
            .algorithm(),
        Algorithm::Ps256
    );
    assert_eq!(
        PublicKey::parse(&jwk, Algorithm::Es256).err(),
        Some(UnusableKey::Algorithm)
    );
}

#[test]
fn a_set_is_bounded() {
    let ec = Signer::new("e", "ES256").jwk();
    let set = json!({"keys": vec![ec; 150]}).to_string();
    let set = KeySet::parse(set.as_bytes(), Algorithm::Rs256).unwrap();
    assert_eq!(
        (set.count(), set.candidates(None, Algorithm::Es256).count()),
        (100, 4)
    );
    assert_eq!(
        KeySet::parse(b"{}", Algorithm::Rs256).err(),
        Some(InvalidKeySet::Shape)
    );
}
