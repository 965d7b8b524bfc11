//! What must be true of a token that was let in, written down once more and in another way than
//! where it is judged.

use super::*;

/// [`NOW`], with which times of any kind of number can be compared.
const NOW_F: f64 = 1_800_000_000.0;

/// The claims in which providers say what their token is.
const CLAIMS_FOR_A_WORD: [&str; 5] = ["token_use", "token_type", "tokenType", "tokenName", "type"];
/// What providers call an access token there: letters and digits only, in lower case.
const ACCESS_WORDS: [&str; 7] = [
    "access",
    "accesstoken",
    "atjwt",
    "bearer",
    "bearertoken",
    "oauthaccesstoken",
    "oauth2accesstoken",
];

/// A token, and where it stands.
pub(super) struct Shown<'a> {
    pub(super) token: &'a str,
    /// `authorization`, or the name of a cookie.
    pub(super) header: &'a str,
}

impl<'a> Shown<'a> {
    pub(super) fn bearer(token: &'a str) -> Self {
        Self {
            token,
            header: "authorization",
        }
    }

    pub(super) fn as_header(&self) -> (header::HeaderName, String) {
        match self.header {
            "authorization" => (header::AUTHORIZATION, format!("Bearer {}", self.token)),
            cookie => (header::COOKIE, format!("{cookie}={}", self.token)),
        }
    }
}

/// Of a signed token.
pub(super) fn signed(
    signer: &Signer,
    header: &Value,
    claims: &Value,
    shown: &Shown<'_>,
    identity: &Identity,
    issuer: &str,
) {
    let why = format!("{header}.{claims} in {}", shown.header);
    assert_eq!(header["alg"], signer.alg, "{why}");
    assert!(
        header.get("kid").is_none_or(|kid| kid == signer.kid),
        "{why}"
    );
    for member in ["crit", "b64", "cty", "zip", "enc"] {
        assert!(header.get(member).is_none(), "{why}");
    }
    let kind = header
        .get("typ")
        .map(|kind| kind.as_str().unwrap().to_ascii_lowercase());
    let kind = kind.as_deref();
    assert!(matches!(kind, None | Some("jwt" | "at+jwt")), "{why}");
    let in_id_cookie = shown.header == "id_token";
    let purpose = claims["typ"].as_str().map(str::to_ascii_lowercase);
    match purpose.as_deref() {
        None => assert!(claims["typ"].is_null(), "{why}"),
        Some("id") => assert!(in_id_cookie, "{why}"),
        Some(other) => assert_eq!(other, "bearer", "{why}"),
    }
    if purpose.is_none() && kind != Some("at+jwt") && !in_id_cookie {
        // The provider's own word, or nothing that binds the token to a sign-in.
        let is_called_access = CLAIMS_FOR_A_WORD
            .iter()
            .filter_map(|name| claims[name].as_str())
            .any(|word| {
                let word = word.replace(|mark: char| !mark.is_ascii_alphanumeric(), "");
                ACCESS_WORDS.contains(&&*word.to_ascii_lowercase())
            });
        let none = |name: &str| claims[name].is_null() || claims[name] == "";
        assert!(
            is_called_access || (none("nonce") && none("at_hash")),
            "{why}"
        );
    }
    assert_eq!(claims["iss"], issuer, "{why}");
    assert!(claims["exp"].as_f64().unwrap() + 30.0 > NOW_F, "{why}");
    common(claims, identity, &why);
}

/// Of a token about which the provider was asked.
pub(super) fn answered(claims: &Value, identity: &Identity, issuer: &str, introspected: bool) {
    let why = format!("{claims}");
    if introspected {
        assert_eq!(claims["active"], true, "{why}");
        assert!(claims["iss"].is_null() || claims["iss"] == issuer, "{why}");
        assert!(
            claims["token_type"]
                .as_str()
                .is_none_or(|kind| kind.eq_ignore_ascii_case("bearer")),
            "{why}"
        );
        if claims["aud"].is_null() {
            assert_eq!(claims["client_id"], "elastauth", "{why}");
            named(claims, identity, &why);
        } else {
            common(claims, identity, &why);
        }
    } else {
        assert!(claims["sub"].is_string(), "{why}");
        named(claims, identity, &why);
    }
}

fn common(claims: &Value, identity: &Identity, why: &str) {
    let audience = &claims["aud"];
    if audience.is_null() {
        assert_eq!(claims["client_id"], "elastauth", "{why}");
    }
    let several = audience
        .as_array()
        .is_some_and(|all| all.iter().all(Value::is_string) && all.contains(&json!("elastauth")));
    assert!(
        audience == "elastauth" || audience.is_null() || several,
        "{why}"
    );
    let party = if claims["azp"].is_null() {
        &claims["client_id"]
    } else {
        &claims["azp"]
    };
    assert!(party.is_null() || party == "elastauth", "{why}");
    assert!(
        claims.get("events").is_none() && claims["cnf"].is_null(),
        "{why}"
    );
    for moment in ["nbf", "iat"] {
        assert!(
            claims
                .get(moment)
                .is_none_or(|moment| moment.as_f64().unwrap() < NOW_F + 31.0),
            "{why}"
        );
    }
    named(claims, identity, why);
}

/// The user and the groups are those of the claims, letter by letter.
fn named(claims: &Value, identity: &Identity, why: &str) {
    let user = match &claims["preferred_username"] {
        Value::Array(one) => {
            assert_eq!(one.len(), 1, "{why}");
            &one[0]
        }
        one => one,
    };
    assert_eq!(user, identity.user().as_str(), "{why}");
    let item = |item: &Value| match item {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(members) => Some(match &members["name"] {
            Value::String(name) => name.clone(),
            other => other.to_string(),
        }),
        other => {
            assert!(other.is_null(), "{why}");
            None
        }
    };
    let said: HashSet<String> = match &claims["groups"] {
        Value::String(one) => match serde_json::from_str::<Vec<Value>>(one) {
            Ok(items) => items.iter().filter_map(item).collect(),
            Err(_) => [one.clone()].into(),
        },
        Value::Array(all) => all.iter().filter_map(item).collect(),
        Value::Object(members) => members.keys().cloned().collect(),
        Value::Number(one) => [one.to_string()].into(),
        other => {
            assert!(other.is_null(), "{why}");
            HashSet::new()
        }
    };
    let said: HashSet<&str> = said
        .iter()
        .map(|group| group.trim_matches([' ', '\t']))
        .collect();
    assert!(
        groups(identity).iter().all(|group| said.contains(group)),
        "{why}"
    );
    assert!(
        claims["hasgroups"] != true || !claims["groups"].is_null(),
        "{why}"
    );
}
