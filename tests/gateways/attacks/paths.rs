//! Ways around elastauth that the cluster itself gives to its users: a password of their own, and
//! API keys. Spellings that the cluster does not take have to stay harmless behind the gateway,
//! which may have changed them.

use super::types::{
    Attack,
    Must::{self, BeHarmless, BeRefused},
    Sent::Draft,
};
use crate::{
    draft,
    gateway::{Form, KIBANA},
};

const fn elasticsearch(name: &'static str, must: Must, change: fn(&mut draft::Draft)) -> Attack {
    Attack {
        name,
        sent: Draft(change),
        must,
        forms: &Form::ALL,
    }
}

/// There is no Kibana where clients have tokens.
const fn kibana(name: &'static str, must: Must, change: fn(&mut draft::Draft)) -> Attack {
    Attack {
        forms: &[Form::Authelia, Form::Applications],
        ..elasticsearch(name, must, change)
    }
}

fn post(draft: &mut draft::Draft, path: &str) {
    path.clone_into(&mut draft.target);
    draft.post("{\"password\":\"of-my-own\",\"name\":\"mine\"}");
}

fn to_kibana(draft: &mut draft::Draft, path: &str) {
    draft.to(KIBANA);
    post(draft, path);
}

pub(crate) const ELASTICSEARCH: &[Attack] = &[
    elasticsearch("`POST /_security/user/_password`", BeRefused, |draft| {
        post(draft, "/_security/user/_password");
    }),
    elasticsearch(
        "`POST /_security/user/_password/?pretty`",
        BeRefused,
        |draft| {
            post(draft, "/_security/user/_password/?pretty");
        },
    ),
    elasticsearch(
        "`POST /_security/user/alice/_password`",
        BeRefused,
        |draft| {
            post(draft, "/_security/user/alice/_password");
        },
    ),
    elasticsearch(
        "`POST /_security/user/%61lice/_password`",
        BeRefused,
        |draft| post(draft, "/_security/user/%61lice/_password"),
    ),
    elasticsearch("`POST /_security/api_key`", BeRefused, |draft| {
        post(draft, "/_security/api_key");
    }),
    elasticsearch(
        "`POST /_security/cross_cluster/api_key`",
        BeRefused,
        |draft| post(draft, "/_security/cross_cluster/api_key"),
    ),
    elasticsearch("`POST /_security/oauth2/token`", BeRefused, |draft| {
        post(draft, "/_security/oauth2/token");
    }),
    elasticsearch(
        "`POST /_xpack/security/user/_password`",
        BeRefused,
        |draft| post(draft, "/_xpack/security/user/_password"),
    ),
    elasticsearch("`PUT /_security/api_key/`", BeRefused, |draft| {
        post(draft, "/_security/api_key/");
        "PUT".clone_into(&mut draft.method);
    }),
    elasticsearch(
        "`PUT /_plugins/_security/api/account`",
        BeRefused,
        |draft| {
            post(draft, "/_plugins/_security/api/account");
            "PUT".clone_into(&mut draft.method);
        },
    ),
    elasticsearch(
        "`PUT /_opendistro/_security/api/account/`",
        BeRefused,
        |draft| {
            post(draft, "/_opendistro/_security/api/account/");
            "PUT".clone_into(&mut draft.method);
        },
    ),
    elasticsearch(
        "`POST //_security///user//_password`",
        BeHarmless,
        |draft| post(draft, "//_security///user//_password"),
    ),
    elasticsearch(
        "`POST /x/../_security/./user/_password`",
        BeHarmless,
        |draft| post(draft, "/x/../_security/./user/_password"),
    ),
    elasticsearch(
        "`POST /x/%2e%2e/_security/user/_password`",
        BeHarmless,
        |draft| post(draft, "/x/%2e%2e/_security/user/_password"),
    ),
    elasticsearch(
        "`POST /%5fsecurity/user/%5fpassword`",
        BeHarmless,
        |draft| post(draft, "/%5fsecurity/user/%5fpassword"),
    ),
    elasticsearch(
        "`POST /_security%2fuser%2f_password`",
        BeHarmless,
        |draft| post(draft, "/_security%2fuser%2f_password"),
    ),
    elasticsearch("`POST /_SECURITY/API_KEY`", BeHarmless, |draft| {
        post(draft, "/_SECURITY/API_KEY");
    }),
    elasticsearch("`POST /_security/user/_password#x`", BeHarmless, |draft| {
        post(draft, "/_security/user/_password#x");
    }),
    elasticsearch(
        "`POST https://elasticsearch.example.org/_security/api_key`",
        BeHarmless,
        |draft| {
            post(draft, "https://elasticsearch.example.org/_security/api_key");
        },
    ),
];

pub(crate) const KIBANA_PATHS: &[Attack] = &[
    kibana(
        "`POST /internal/security/users/alice/password`",
        BeRefused,
        |draft| to_kibana(draft, "/internal/security/users/alice/password"),
    ),
    kibana("`POST /internal/security/api_key`", BeRefused, |draft| {
        to_kibana(draft, "/internal/security/api_key");
    }),
    kibana(
        "`POST /s/team/internal/security/api_key` (in a space)",
        BeRefused,
        |draft| to_kibana(draft, "/s/team/internal/security/api_key"),
    ),
    kibana(
        "`POST /internal/security/%75sers/alice/%70assword`",
        BeRefused,
        |draft| to_kibana(draft, "/internal/security/%75sers/alice/%70assword"),
    ),
    kibana("`POST /INTERNAL/Security/API_Key`", BeRefused, |draft| {
        to_kibana(draft, "/INTERNAL/Security/API_Key");
    }),
    kibana("`POST //internal//security//api_key`", BeRefused, |draft| {
        to_kibana(draft, "//internal//security//api_key");
    }),
    kibana(
        "`POST /internal//../security/api_key`",
        BeHarmless,
        |draft| to_kibana(draft, "/internal//../security/api_key"),
    ),
    kibana(
        "`POST /internal/./security/x/%2e%2E/api_key`",
        BeHarmless,
        |draft| to_kibana(draft, "/internal/./security/x/%2e%2E/api_key"),
    ),
    kibana("`POST /internal\\security\\api_key`", BeHarmless, |draft| {
        to_kibana(draft, "/internal\\security\\api_key");
    }),
    kibana(
        "`POST /api/console/proxy?path=_security/user/_password&method=POST`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?path=_security/user/_password&method=POST",
            );
        },
    ),
    kibana(
        "`POST /api/console/proxy?method=POST&path=%2F_s%65curity%2Fapi%5Fkey`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?method=POST&path=%2F_s%65curity%2Fapi%5Fkey",
            );
        },
    ),
    kibana(
        "`POST /api/console/proxy?method=POST&path=_security/./api_key`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?method=POST&path=_security/./api_key",
            );
        },
    ),
    kibana(
        "`POST /api/console/proxy?method=POST&path=_security/x/../api_key`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?method=POST&path=_security/x/../api_key",
            );
        },
    ),
    kibana(
        "`POST /api/console/proxy?method=POST&path=_security/%zz/../api_key`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?method=POST&path=_security/%zz/../api_key",
            );
        },
    ),
    kibana(
        "`POST /api/console/proxy?method=POST&path=_security/x%2B/../ap%09i_key`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?method=POST&path=_security/x%2B/../ap%09i_key",
            );
        },
    ),
    kibana(
        "`POST /api/console/proxy?method=POST&path=_sec%09urity/x%2B/../api_key`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?method=POST&path=_sec%09urity/x%2B/../api_key",
            );
        },
    ),
    kibana(
        "`POST /api/console/proxy?method=POST&path=_xpack/security/user/_password`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?method=POST&path=_xpack/security/user/_password",
            );
        },
    ),
    kibana(
        "`POST /api/console/proxy?method=PUT&path=_plugins/_security/api/x/../account`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?method=PUT&path=_plugins/_security/api/x/../account",
            );
        },
    ),
    kibana(
        "`POST /api/console/proxy?method=POST&path=_security/oauth2/token`",
        BeRefused,
        |draft| {
            to_kibana(
                draft,
                "/api/console/proxy?method=POST&path=_security/oauth2/token",
            );
        },
    ),
];
