//! As much of a browser as a sign-in needs: cookies, redirects and the first form of a page.

use super::http::{Answer, Server, form};
use http::{StatusCode, header};
use std::collections::BTreeMap;

/// More redirects than any sign-in has.
const MAX_STEPS: usize = 20;

#[derive(Debug)]
pub(crate) struct Browser {
    server: Server,
    origin: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// One that visits this server only.
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            server: server.clone(),
            origin: format!("http://{}", server.address()),
            cookies: BTreeMap::new(),
        }
    }

    /// Follows `start`, fills in each form that comes, and returns the query of the redirect to
    /// `callback`.
    ///
    /// # Panics
    /// Where the way does not end there.
    pub(crate) async fn sign_in(
        &mut self,
        start: &str,
        callback: &str,
        user: &str,
        password: &str,
    ) -> BTreeMap<String, String> {
        let mut answer = self.get(start).await;
        for _ in 0..MAX_STEPS {
            if answer.status.is_redirection() {
                let to = answer
                    .header("location")
                    .expect("a redirect names a place")
                    .to_owned();
                if let Some(query) = to.strip_prefix(callback) {
                    return fields(query.trim_start_matches(['?', '#']));
                }
                answer = self.get(&to).await;
            } else {
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                answer = self.fill_in(&answer.text(), user, password).await;
            }
        }
        panic!(
            "the sign-in does not end; the last page:\n{}",
            answer.text()
        );
    }

    async fn get(&mut self, place: &str) -> Answer {
        let path = self.path(place);
        let cookies = self.cookie_header();
        let answer = self.server.get(&path, &[("cookie", &cookies)]).await;
        self.keep_cookies(&answer);
        answer
    }

    async fn fill_in(&mut self, page: &str, user: &str, password: &str) -> Answer {
        let (_, rest) = page
            .split_once("<form")
            .unwrap_or_else(|| panic!("no form in:\n{page}"));
        let (head, rest) = rest.split_once('>').expect("the form's tag ends");
        let (body, _) = rest.split_once("</form>").expect("the form ends");
        let action = self.path(&attribute(head, "action").expect("the form has an address"));
        let inputs: Vec<(String, String)> = body
            .split("<input")
            .skip(1)
            .filter_map(|input| {
                let tag = input.split('>').next()?;
                let name = attribute(tag, "name")?;
                let value = match name.as_str() {
                    "username" | "login" => user.to_owned(),
                    "password" => password.to_owned(),
                    // Staying signed in is not what is tested.
                    "rememberMe" => return None,
                    _ => attribute(tag, "value").unwrap_or_default(),
                };
                Some((name, value))
            })
            .collect();
        let inputs: Vec<(&str, &str)> = inputs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let cookies = self.cookie_header();
        let answer = self
            .server
            .post_form(&action, &[("cookie", &cookies)], &inputs)
            .await;
        self.keep_cookies(&answer);
        answer
    }

    fn path(&self, place: &str) -> String {
        let path = place.strip_prefix(&self.origin).unwrap_or(place);
        assert!(path.starts_with('/'), "{place} is not at {}", self.origin);
        path.to_owned()
    }

    fn cookie_header(&self) -> String {
        self.cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let text = cookie.to_str().expect("a printable cookie");
            let (name, value) = text
                .split(';')
                .next()
                .and_then(|pair| pair.split_once('='))
                .expect("a cookie has a name");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(rest.split('"').next()?.replace("&amp;", "&"))
}

fn fields(query: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// The query of an authorization request for a code, with PKCE, and the verifier that redeems the
/// code.
pub(crate) fn code_request(
    client: &str,
    callback: &str,
    scope: &str,
    more: &[(&str, &str)],
) -> (String, &'static str) {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    const VERIFIER: &str = "a-verifier-of-the-tests-that-is-long-enough-for-the-norm";
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        VERIFIER.as_bytes(),
    ));
    let fixed = [
        ("client_id", client),
        ("redirect_uri", callback),
        ("response_type", "code"),
        ("scope", scope),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    (form(&[&fixed[..], more].concat()), VERIFIER)
}
