//! Every attack on one gateway in one form, and what came of it.

mod claims;
mod framing;
mod judged;
mod paths;
mod steps;
pub(crate) mod types;

use crate::{
    draft::Draft,
    gateway::{Form, Program},
    stage::Stage,
    support::authelia::BYPASSED,
};
use judged::{Over, outcome};
use types::{Attack, Must, Outcome, Sent};

/// The tables of the document.
pub(crate) const TABLES: &[(&str, &[Attack])] = &[
    ("Who the client says it is", claims::IDENTITY),
    ("Credentials of the client's own", claims::CREDENTIALS),
    ("What the client says about the request", claims::ELSEWHERE),
    ("Framing and size", framing::FRAMING),
    ("Methods, bodies and long answers", framing::METHODS),
    ("More than one request", steps::ATTACKS),
    (
        "A password and keys of one's own, at Elasticsearch",
        paths::ELASTICSEARCH,
    ),
    (
        "A password and keys of one's own, in Kibana",
        paths::KIBANA_PATHS,
    ),
];

/// What came of an attack in one form, over one protocol.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) attack: &'static Attack,
    pub(crate) form: Form,
    /// `HTTP/1.1` or `HTTP/2`.
    pub(crate) protocol: &'static str,
    pub(crate) outcome: Outcome,
}

/// Sends all of them to this gateway.
pub(crate) async fn run(program: &Program) -> Vec<Seen> {
    let mut seen = Vec::new();
    for form in Form::ALL {
        let stage = Stage::new(program, form).await;
        for attack in TABLES.iter().flat_map(|(_, attacks)| *attacks) {
            if attack.forms.contains(&form) {
                one(&stage, attack, &mut seen).await;
            }
        }
        assert!(
            stage.cluster.user("mallory").is_none(),
            "{}: somebody became mallory",
            program.name
        );
    }
    seen
}

/// What was seen and must not be where it is no exception of this gateway, and exceptions that are
/// none.
pub(crate) fn faults(program: &Program, seen: &[Seen]) -> Vec<String> {
    let mut faults = Vec::new();
    let excused = |seen: &Seen| {
        program.exceptions.iter().any(|exception| {
            exception.attack == seen.attack.name && exception.forms.contains(&seen.form)
        })
    };
    let fails = |seen: &Seen| !seen.outcome.is_allowed(seen.attack.must);
    for seen in seen.iter().filter(|seen| fails(seen) && !excused(seen)) {
        let Seen {
            attack,
            form,
            protocol,
            outcome,
        } = seen;
        faults.push(format!(
            "{form:?}, {protocol}, {}: {outcome} ({:?})",
            attack.name, attack.must
        ));
    }
    for exception in program.exceptions {
        for form in exception.forms {
            let happens = seen.iter().any(|seen| {
                seen.attack.name == exception.attack && seen.form == *form && fails(seen)
            });
            if !happens {
                faults.push(format!(
                    "{form:?}: the exception \"{}\" does not happen; delete it",
                    exception.attack
                ));
            }
        }
    }
    faults
}

async fn one(stage: &Stage, attack: &'static Attack, seen: &mut Vec<Seen>) {
    let mut push = |protocol, outcome| {
        seen.push(Seen {
            attack,
            form: stage.form,
            protocol,
            outcome,
        });
    };
    let change: &dyn Fn(&mut Draft) = match &attack.sent {
        Sent::Steps(steps) => {
            push("HTTP/1.1", steps(stage).await);
            return;
        }
        Sent::Lines(lines) => &|draft| {
            for line in *lines {
                draft.line(line);
            }
        },
        Sent::Draft(change) | Sent::Both(change) => change,
    };
    let mut draft = stage.request_of("alice");
    change(&mut draft);
    let over_http2 = match attack.sent {
        // There `Connection` does not exist.
        Sent::Lines(lines) => !lines.iter().any(|line| line.starts_with("Connection")),
        Sent::Both(_) => true,
        Sent::Draft(_) | Sent::Steps(_) => false,
    };
    push("HTTP/1.1", outcome(stage, &draft, Over::Http1).await);
    if over_http2 {
        push("HTTP/2", outcome(stage, &draft, Over::Http2).await);
    }

    // Nobody in particular gets nowhere with it, on paths that are open at Authelia neither.
    let mut paths = vec!["/_search".to_owned()];
    if stage.form != Form::Tokens {
        paths.push(format!("{BYPASSED}/_search"));
    }
    for path in paths {
        let mut draft = Stage::anonymous();
        draft.target = path;
        change(&mut draft);
        let protocols = [Over::Http1, Over::Http2];
        for over in &protocols[..if over_http2 { 2 } else { 1 }] {
            let outcome = outcome(stage, &draft, *over).await;
            if !outcome.is_allowed(Must::BeRefused) {
                let what = format!("without a session, {}: {outcome}", draft.target);
                push("HTTP/1.1", Outcome::Breach(what));
            }
        }
    }
}
