//! placeholder
use crate::secret::GatewayKey;
use ipnet::IpNet;

/// Who is believed.
#[derive(Debug, Clone)]
pub struct Config {
    /// Networks from which gateways connect.
    pub proxies: Vec<IpNet>,
    /// Where not empty, a gateway must also show one of these.
    pub gateway_keys: Vec<GatewayKey>,
}
