//! Values once their kind has read them: right from then on.

use crate::{
    clock::Timestamp,
    model::{Group, Role},
    secret::{GatewayKey, SecretKey, SecretString},
};
use http::{HeaderName, Uri};
use ipnet::IpNet;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// One value of one kind.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Bool(bool),
    Number(u64),
    Duration(Duration),
    Moment(Timestamp),
    Word(&'static str),
    Text(String),
    Secret(SecretString),
    Key(SecretKey),
    GatewayKey(GatewayKey),
    Url(Uri),
    Path(PathBuf),
    Header(HeaderName),
    Listen(SocketAddr),
    Network(IpNet),
    Role(Role),
    Group(Group),
    List(Vec<Value>),
    Mappings(Vec<(Group, Vec<Role>)>),
    Pairs(Vec<(String, SecretString)>),
    /// What stands in each is with [`super::settings::Settings::providers`].
    Sections,
}

/// What a component's filler asks for. `None` where the key's kind holds something else, which the
/// test of the defaults finds.
pub(super) trait From: Sized {
    fn from(value: &Value) -> Option<Self>;
}

macro_rules! from {
    ($($type:ty = $variant:ident),*) => {
        $(impl From for $type {
            fn from(value: &Value) -> Option<Self> {
                if let Value::$variant(inner) = value { Some(inner.clone()) } else { None }
            }
        })*
    };
}

from!(
    bool = Bool,
    u64 = Number,
    Duration = Duration,
    Timestamp = Moment,
    &'static str = Word,
    String = Text,
    SecretString = Secret,
    SecretKey = Key,
    GatewayKey = GatewayKey,
    Uri = Url,
    PathBuf = Path,
    HeaderName = Header,
    SocketAddr = Listen,
    IpNet = Network,
    Role = Role,
    Group = Group,
    Vec<(Group, Vec<Role>)> = Mappings,
    Vec<(String, SecretString)> = Pairs
);

impl<T: From> From for Vec<T> {
    fn from(value: &Value) -> Option<Self> {
        if let Value::List(items) = value {
            items.iter().map(T::from).collect()
        } else {
            None
        }
    }
}
