//! elastauth's own port, past the gateway.

use super::{
    types::{CannotAsk, Check, FORGED_USER, GUESSED_KEY, Mode, Names, Probe, Subject, Verdict},
    wire::Way,
};

/// Asks elastauth itself, past the gateway: in proxy mode as a client, else as a gateway.
pub(super) async fn ask(way: &Way, names: &Names, mode: Option<Mode>) -> Result<Check, CannotAsk> {
    let user = names.users.first().map_or("Remote-User", String::as_str);
    let check = |verdict, seen: String| Ok(Check::new(Subject::Direct, verdict, seen));
    for (what, key) in [
        ("no key", None),
        ("a guessed key", Some(("x-elastauth-key", GUESSED_KEY))),
    ] {
        let mut probe = Probe::get(&[(user, FORGED_USER)]);
        probe.headers.extend(Probe::get(key.as_slice()).headers);
        if mode != Some(Mode::Proxy) {
            probe.path = Some("/elastauth/forward-auth".to_owned());
        }
        let answer = way.ask(probe).await?;
        let shown = answer.shown();
        match (answer.status.as_u16(), answer.code().as_deref()) {
            (401, Some("not_authenticated" | "invalid_token")) | (403, Some("gateway_key")) => {}
            (200 | 403, _) => {
                let seen =
                    format!("elastauth's own port believes whoever asks with {what}: {shown}");
                return check(Verdict::Finding, seen);
            }
            _ => {
                return Err(CannotAsk(format!(
                    "--elastauth does not answer as elastauth: {shown}"
                )));
            }
        }
    }
    let seen = "elastauth's own port refuses whoever shows no key, or a guessed one";
    check(Verdict::Good, seen.to_owned())
}
