//! Who plays, under which conditions, and what can happen.

use super::cluster::CallName;

/// How often each kind of step may be taken.
#[derive(Debug, Clone, Copy, Default, Hash)]
pub(crate) struct Budget {
    pub(crate) asks: u8,
    /// Answers that get lost, in whatever way.
    pub(crate) losses: u8,
    /// Writes after which OpenSearch's credential cache keeps the logins that they replace.
    pub(crate) keeps: u8,
    /// Answers that are held back after the cluster has dealt with the call.
    pub(crate) stalls: u8,
    pub(crate) passes: u8,
    pub(crate) restarts: u8,
    pub(crate) edits: u8,
    /// Logins that an operator revokes.
    pub(crate) revokes: u8,
    pub(crate) hang_ups: u8,
    /// What happens to the Redis that replicas share.
    pub(crate) redis_faults: u8,
}

/// Who plays, and under which conditions. Times are in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// How far the clock of each replica is ahead; one entry a replica.
    pub(crate) ahead: &'static [u64],
    pub(crate) users: &'static [&'static str],
    pub(crate) groups: &'static [&'static str],
    /// The cluster is an OpenSearch.
    pub(crate) opensearch: bool,
    /// Zero: passwords change with the key alone.
    pub(crate) rotation: u64,
    pub(crate) grace: u64,
    /// How long a login may live on after its period; if it is not given, nobody is parked. A
    /// replica looks for users at times that chance draws.
    pub(crate) park_within: Option<u64>,
    pub(crate) expiration: u64,
    /// How long a gateway takes to use a login.
    pub(crate) use_within: u64,
    /// How long the cluster may keep a write that nobody waits for.
    pub(crate) gives_up: u64,
    /// How long before the first user's boundary the story begins.
    pub(crate) before_boundary: u64,
    /// Every replica knows two keys, and the new one begins at that boundary.
    pub(crate) key_change: bool,
    /// The same node under so many addresses: who would send a write twice has where to.
    pub(crate) addresses: usize,
    /// By how much time may pass in one step.
    pub(crate) passes: &'static [u64],
    pub(crate) edits: &'static [Edit],
    /// In which ways answers get lost.
    pub(crate) losses: &'static [Loss],
    /// What has happened before, undisturbed: requests of a replica with groups, for the first
    /// user.
    pub(crate) before: &'static [(usize, &'static str)],
    /// The first user is somebody else's.
    pub(crate) foreign: bool,
    /// Replicas share a Redis, of which these faults may happen to it. Its only user is the usual
    /// one.
    pub(crate) redis: Option<&'static [RedisFault]>,
    pub(crate) budget: Budget,
}

impl Default for Setting {
    /// Two replicas and a user in the middle of a period.
    fn default() -> Self {
        Self {
            ahead: &[0, 0],
            users: &["alice"],
            groups: &["dev", "admins"],
            opensearch: false,
            rotation: 86_400_000,
            grace: 500,
            park_within: None,
            expiration: 600_000,
            use_within: 250,
            gives_up: 60_000,
            before_boundary: 40_000_000,
            key_change: false,
            addresses: 1,
            passes: &[],
            edits: &[],
            losses: &[
                Loss::Refused,
                Loss::Full,
                Loss::After,
                Loss::Adrift,
                Loss::Unseen,
                Loss::Cut,
            ],
            before: &[],
            foreign: false,
            redis: None,
            budget: Budget::default(),
        }
    }
}

/// What an administrator does in Kibana.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Edit {
    Disable,
    Enable,
    Roles,
    Password,
    Delete,
}

/// How an answer gets lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Loss {
    /// 503, and nothing was done.
    Refused,
    /// 429: nothing was done, and nothing will be.
    Full,
    /// Done, and 500.
    After,
    /// 503, and it may be done later.
    Adrift,
    /// 401 as while the security index is away.
    Unseen,
    /// The connection is cut, and it may be done later.
    Cut,
}

/// What happens to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RedisFault {
    /// The connection is cut before a command has been done.
    CutBefore,
    /// A command is done, and the connection is cut.
    CutAfter,
    /// Messages to a replica are late.
    Late,
    /// A replica's listening connection is cut.
    Deaf,
    /// Everything is forgotten.
    Flush,
}

/// One step of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// A gateway asks a replica.
    Ask {
        place: usize,
        user: &'static str,
        groups: &'static str,
    },
    /// The cluster deals with a call and answers it.
    Well(CallName),
    /// The cluster deals with a call, and its answer is on the way for a while.
    Stall(CallName),
    /// Such an answer comes.
    Release(CallName),
    Lost(CallName, Loss),
    /// OpenSearch finds that somebody else has written users since this write came: it does nothing
    /// and answers 409.
    Conflict(CallName),
    /// OpenSearch does a write, and its credential cache keeps the logins that it replaces.
    Keeps(CallName),
    /// A write that nobody waits for any more is applied.
    Late(CallName),
    /// Time passes.
    Pass(u64),
    /// Everybody who waits for an answer of a replica hangs up.
    HangUp(usize),
    /// A replica is killed, and another one starts in its place.
    Restart(usize),
    Edit(&'static str, Edit),
    /// An operator revokes a user's login at a replica.
    Revoke {
        place: usize,
        user: &'static str,
    },
    /// After that, and without a store, the operator lets another replica check the user.
    Recheck {
        place: usize,
        user: &'static str,
    },
    /// Redis does a command and answers it.
    RedisDone(CallName),
    /// The same goes wrong.
    RedisFails(CallName, RedisFault),
    /// Something happens to what a replica hears.
    MessagesFail(usize, RedisFault),
    /// Messages that were late come.
    MessagesCome(usize),
    Flush,
}

impl Step {
    /// Neither a fault nor anybody's doing from outside.
    pub(crate) fn is_usual(self) -> bool {
        matches!(
            self,
            Self::Ask { .. }
                | Self::Well(_)
                | Self::Release(_)
                | Self::Late(_)
                | Self::Pass(_)
                | Self::RedisDone(_)
                | Self::MessagesCome(_)
                | Self::Recheck { .. }
        )
    }
}
