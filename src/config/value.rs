//! Values that their type has read: valid from then on.

use super::choice::ConfigChoice;
use crate::{
    clock::Timestamp,
    model::{Group, Role},
    net::trust::{KnownKey, KnownName},
    secret::{SecretKey, SecretString},
};
use http::{HeaderName, Uri};
use ipnet::IpNet;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// One value.
#[derive(Clone)]
pub(super) enum KeyValue {
    Bool(bool),
    Number(u64),
    Duration(Duration),
    Timestamp(Timestamp),
    Choice(&'static str),
    Text(String),
    Secret(SecretString),
    Key(SecretKey),
    GatewayKey(KnownKey),
    ClientName(KnownName),
    Url(Uri),
    Path(PathBuf),
    Header(HeaderName),
    Listen(SocketAddr),
    Network(IpNet),
    Role(Role),
    Group(Group),
    List(Vec<KeyValue>),
    Mappings(Vec<(Group, Vec<Role>)>),
    Pairs(Vec<(String, SecretString)>),
    /// The content of each is in [`super::settings::Settings::sections`].
    Sections,
}

/// What a component's filler asks for. `None` where the key has another type, which the test of the
/// defaults finds.
pub(super) trait FromValue: Sized {
    fn from_value(value: &KeyValue) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty = $variant:ident),*) => {
        $(impl FromValue for $type {
            fn from_value(value: &KeyValue) -> Option<Self> {
                if let KeyValue::$variant(inner) = value { Some(inner.clone()) } else { None }
            }
        })*
    };
}

from_value!(
    bool = Bool,
    u64 = Number,
    Duration = Duration,
    Timestamp = Timestamp,
    String = Text,
    SecretString = Secret,
    SecretKey = Key,
    KnownKey = GatewayKey,
    KnownName = ClientName,
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

impl<T: ConfigChoice> FromValue for T {
    fn from_value(value: &KeyValue) -> Option<Self> {
        if let KeyValue::Choice(text) = value {
            T::parse(text)
        } else {
            None
        }
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &KeyValue) -> Option<Self> {
        if let KeyValue::List(items) = value {
            items.iter().map(T::from_value).collect()
        } else {
            None
        }
    }
}
