//! What came of one request.

use super::types::Outcome;
use crate::{
    application::RECORD, client::Reply, draft::Draft, gateway::ELASTICSEARCH, message::Message,
    stage::Stage,
};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Over {
    Http1,
    Http2,
}

/// How much has arrived at the applications behind elastauth.
pub(crate) fn counts(stage: &Stage) -> [usize; 2] {
    [stage.elasticsearch.count(), stage.kibana.count()]
}

/// What has arrived there since.
pub(crate) fn arrived_since(stage: &Stage, before: [usize; 2]) -> Vec<Message> {
    let applications = [&stage.elasticsearch, &stage.kibana];
    let since = applications.iter().zip(before);
    since
        .flat_map(|(application, before)| application.since(before))
        .collect()
}

/// Sends it and looks at everything that has arrived since.
pub(crate) async fn outcome(stage: &Stage, draft: &Draft, over: Over) -> Outcome {
    let (before, wiki) = (counts(stage), stage.wiki.count());
    let reply = match over {
        Over::Http1 => {
            let host = Some(draft.host()).filter(|host| !host.is_empty());
            let host = host.unwrap_or(ELASTICSEARCH);
            stage.gateway.client.send_to(host, draft).await
        }
        Over::Http2 => stage.gateway.client.send_http2(draft).await,
    };
    let arrived = arrived_since(stage, before);
    let breach = arrived
        .iter()
        .find_map(|record| stage.judge(record, "alice").err());
    if let Some(breach) = breach {
        return Outcome::Breach(breach);
    }
    let at_the_wiki = stage.wiki.since(wiki);
    if let Some(breach) = at_the_wiki
        .iter()
        .find_map(|record| stage.judge_wiki(record, "alice").err())
    {
        return Outcome::Breach(format!("at the wiki: {breach}"));
    }
    match reply {
        Reply::Answer(answer) => {
            let has_record = answer.header(RECORD).is_some();
            match (arrived.len(), at_the_wiki.len(), has_record) {
                (0, 0, false) => Outcome::Refused(answer.status()),
                (1, 0, true) => Outcome::AsAlice,
                (0, 1, true) => Outcome::AtTheWiki,
                _ => Outcome::Breach(format!(
                    "{} requests arrived, and the answer is {}",
                    arrived.len(),
                    answer.status()
                )),
            }
        }
        Reply::Closed if arrived.is_empty() => Outcome::Closed,
        Reply::Silent if arrived.is_empty() => Outcome::Silent,
        Reply::Closed | Reply::Silent => Outcome::Breach("it arrived without an answer".to_owned()),
    }
}
